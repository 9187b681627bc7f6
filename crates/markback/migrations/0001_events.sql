CREATE TABLE markback_events (
    school      TEXT   NOT NULL,
    id          TEXT   NOT NULL,             -- the sign-in system's own id
    person      TEXT   NOT NULL,
    body        TEXT   NOT NULL,             -- the event as taken in
    state       TEXT   NOT NULL,
    student     TEXT,                        -- the pupil's id at Wonde when it was decided
    day         TEXT,                        -- YYYY-MM-DD, the school's own
    session     TEXT,                        -- AM | PM
    decision    TEXT,                        -- the decision with its steps
    waiting     TEXT,                        -- what an open event waits for, in words
    writeback   TEXT,
    lesson      TEXT,
    outcome     TEXT,                        -- what became of it, in words
    received_ms BIGINT NOT NULL,
    decided_ms  BIGINT,
    sent_ms     BIGINT,
    accepted_ms BIGINT,
    settled_ms  BIGINT,
    PRIMARY KEY (school, id)
);
CREATE INDEX markback_events_open ON markback_events (school, state) WHERE settled_ms IS NULL;
CREATE INDEX markback_events_received ON markback_events (received_ms);

-- What we wrote, and who arrived when: what the register holds as far as we know.
CREATE TABLE markback_ledger (
    school        TEXT   NOT NULL,
    student       TEXT   NOT NULL,
    day           TEXT   NOT NULL,
    session       TEXT   NOT NULL,
    code          TEXT,
    comment       TEXT,
    minutes_late  BIGINT,
    event         TEXT,                      -- the event that wrote it
    stage         TEXT,                      -- planned | accepted | confirmed
    stage_ms      BIGINT,
    before_code         TEXT,                -- what we had written before that: it holds again when the event's mark comes to nothing
    before_comment      TEXT,
    before_minutes_late BIGINT,
    before_event        TEXT,
    arrival_event TEXT,
    arrival_at    TEXT,                      -- RFC 3339
    PRIMARY KEY (school, student, day, session)
);

-- Only ever added to, until retention.
CREATE TABLE markback_audit (
    school  TEXT   NOT NULL,
    event   TEXT   NOT NULL,
    at_ms   BIGINT NOT NULL,
    what    TEXT   NOT NULL,                 -- planned | accepted | refused | ...
    record  TEXT   NOT NULL
);
CREATE INDEX markback_audit_event ON markback_audit (school, event);
CREATE INDEX markback_audit_at ON markback_audit (at_ms);
