-- An event's row changes with each of its steps. If no indexed value changes and the page has room, PostgreSQL writes the new
-- row beside the old one and leaves the indexes alone (a heap-only tuple). So no index goes by the state, and pages are filled
-- by half at first.
ALTER TABLE markback_events
    ADD COLUMN needs_person BIGINT
    GENERATED ALWAYS AS (CASE WHEN state IN ('held', 'failed', 'rejected', 'unconfirmed') THEN 1 ELSE 0 END) STORED;
DROP INDEX markback_events_held;
DROP INDEX markback_events_problems;
DROP INDEX markback_events_open;
CREATE INDEX markback_events_problems ON markback_events (school, received_ms) WHERE needs_person = 1;
CREATE INDEX markback_events_open ON markback_events (school) WHERE settled_ms IS NULL;
ALTER TABLE markback_events SET (fillfactor = 50);
