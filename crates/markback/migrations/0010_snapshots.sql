-- The settings that a decision went by, as text: "store 7" or "file 3f2a9c1b".
ALTER TABLE markback_events ADD COLUMN settings TEXT;

-- What the inputs of many decisions share, by a hash of the text: a group with its settings; a school's MIS and its codes.
CREATE TABLE markback_snapshot_parts (
    hash    TEXT   NOT NULL PRIMARY KEY,
    body    TEXT   NOT NULL,                 -- JSON
    used_ms BIGINT NOT NULL                  -- when a decision last used it, up to a day early
);

-- The inputs of each event's first decision and of the last one before sending. They go with their event.
CREATE TABLE markback_snapshots (
    school     TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    look       BIGINT NOT NULL,              -- 0: the first decision; 1: decided again before sending
    decided_ms BIGINT NOT NULL,
    job        BIGINT NOT NULL,              -- the queue's job: of one person, they are decided in this order
    group_part TEXT,                         -- NULL: the person was in no group
    mis_part   TEXT   NOT NULL,
    body       TEXT   NOT NULL,              -- JSON
    PRIMARY KEY (school, event, look),
    FOREIGN KEY (school, event) REFERENCES markback_events (school, id) ON DELETE CASCADE
);
