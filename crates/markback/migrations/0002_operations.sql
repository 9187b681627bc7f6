-- How often a person had the event tried again from the start: part of its jobs' keys.
ALTER TABLE markback_events ADD COLUMN round BIGINT NOT NULL DEFAULT 0;

-- Which school a writeback belongs to: Wonde's news of one does not say.
CREATE TABLE markback_writebacks (
    writeback TEXT   NOT NULL,
    school    TEXT   NOT NULL,
    at_ms     BIGINT NOT NULL,
    PRIMARY KEY (writeback, school)
);
CREATE INDEX markback_writebacks_at ON markback_writebacks (at_ms);

-- What Wonde told about a school that the operator should know.
CREATE TABLE markback_notices (
    school   TEXT   NOT NULL,
    kind     TEXT   NOT NULL,                -- approved | revoked | declined | migration
    subject  TEXT   NOT NULL,                -- what tells two of a kind apart, such as "SIMS to Arbor"
    words    TEXT   NOT NULL,
    done     BIGINT NOT NULL,                -- 1: nothing more of this will come
    first_ms BIGINT NOT NULL,
    last_ms  BIGINT NOT NULL,
    PRIMARY KEY (school, kind, subject)
);

-- Requests that the nodes have shared out among themselves, by token.
CREATE TABLE markback_budget (
    lane    TEXT   PRIMARY KEY,
    next_ms BIGINT NOT NULL                  -- when the next request would be due if all were evenly spread
);

-- For retention.
CREATE INDEX markback_ledger_day ON markback_ledger (day);
