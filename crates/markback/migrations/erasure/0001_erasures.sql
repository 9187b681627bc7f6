-- Events that were erased for their person. Their ids stay, so that the same event sent again is not taken in anew.
CREATE TABLE markback_erasure_events (
    school    TEXT   NOT NULL,
    id        TEXT   NOT NULL,               -- the sign-in system's own id
    state     TEXT   NOT NULL,               -- what became of it
    erased_ms BIGINT NOT NULL,
    PRIMARY KEY (school, id)
);

-- What was erased when, by whom and why. No person is named.
CREATE TABLE markback_erasure_log (
    school  TEXT   NOT NULL,
    person  TEXT   NOT NULL,                 -- a hash of the school and the person's id
    at_ms   BIGINT NOT NULL,
    author  TEXT,
    via     TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    removed TEXT   NOT NULL                  -- JSON: how many entries of which kind
);
CREATE INDEX markback_erasure_log_school ON markback_erasure_log (school, at_ms);
