-- Events that were withdrawn because they were wrong.
ALTER TABLE markback_events ADD COLUMN correction TEXT;      -- JSON: who withdrew it, when, why, and which event replaces it
ALTER TABLE markback_events ADD COLUMN corrects TEXT;        -- the withdrawn event that this one replaces
ALTER TABLE markback_events ADD COLUMN repair TEXT;          -- JSON: how to queue the repair of its mark
ALTER TABLE markback_events ADD COLUMN repair_round BIGINT;  -- the first round that repairs its mark; NULL before that
