-- Which events have had their say in a session, as JSON: one that is delivered late does not stand above a later one.
ALTER TABLE markback_ledger ADD COLUMN standing TEXT;
-- The same of what we had written before: it holds again when the event's mark comes to nothing.
ALTER TABLE markback_ledger ADD COLUMN before_standing TEXT;
