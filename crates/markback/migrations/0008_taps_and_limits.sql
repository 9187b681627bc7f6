-- When the event was, in ms: to find what the same person did shortly before. Events taken in earlier have none, and are
-- nobody's event before.
ALTER TABLE markback_events ADD COLUMN at_ms BIGINT;
CREATE INDEX markback_events_person ON markback_events (school, person, at_ms);

-- What a school's MIS does not keep with a mark although its adapter says so, as its refusals have shown.
CREATE TABLE markback_limits (
    school      TEXT   NOT NULL,
    mis         TEXT   NOT NULL,             -- the adapter's id: another MIS has other limits
    ability     TEXT   NOT NULL,             -- comment | minutes_late
    comment_max BIGINT,                      -- the longest comment in characters; NULL: none at all
    learned_ms  BIGINT NOT NULL,
    until_ms    BIGINT NOT NULL,             -- then it is tried again
    PRIMARY KEY (school, mis, ability)
);
