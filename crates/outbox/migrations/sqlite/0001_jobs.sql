-- Numbers for jobs: one row, moved on by enqueue. Kept apart from the jobs so that a number is never used twice.
CREATE TABLE outbox_numbers (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last     INTEGER NOT NULL
);
INSERT INTO outbox_numbers (only_row, last) VALUES (1, 0);

CREATE TABLE outbox_jobs (
    id            INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,            -- place in the line of its order key; = id until it is re-opened
    queue         TEXT    NOT NULL,
    key           TEXT    NOT NULL,            -- idempotency key
    order_key     TEXT,
    lane          TEXT    NOT NULL,            -- '' = none
    second_lane   TEXT    NOT NULL,            -- '' = none
    supersede_key TEXT,
    state         INTEGER NOT NULL DEFAULT 0,  -- 0 open, 1 dead, 2 done, 3 superseded, 4 discarded
    held          INTEGER NOT NULL DEFAULT 0,  -- of an open job: 0 waiting, 1 leased, 2 parked by a pause
    due_at        INTEGER NOT NULL,            -- waiting: claimable from; leased: the lease lapses at
    run_at        INTEGER NOT NULL,            -- never before this, whatever else
    set_at        INTEGER NOT NULL,            -- the store's time when due_at was set
    fence         INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    lapsed        INTEGER NOT NULL DEFAULT 0,  -- 1: claimed from a holder who never answered
    created_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    superseded_by INTEGER,
    note          TEXT,
    payload       TEXT    NOT NULL
);
CREATE UNIQUE INDEX outbox_jobs_key   ON outbox_jobs (queue, key);
-- Three ways of saying "open", so that a statement says which index it wants: what a planner remembers of a queue is
-- out of date at once, and each of the others would be a walk over all open jobs.
CREATE INDEX outbox_jobs_ready ON outbox_jobs (queue, due_at, seq)       WHERE state = 0;
CREATE INDEX outbox_jobs_lane  ON outbox_jobs (queue, lane, due_at, seq) WHERE (state - 0) = 0;
CREATE INDEX outbox_jobs_order ON outbox_jobs (order_key, seq)           WHERE (state + 0) = 0 AND order_key IS NOT NULL;
CREATE INDEX outbox_jobs_dead  ON outbox_jobs (queue, id)                WHERE state = 1;
CREATE INDEX outbox_jobs_parked ON outbox_jobs (lane)               WHERE held = 2;

CREATE TABLE outbox_pauses (
    lane     TEXT    PRIMARY KEY,
    until_at INTEGER NOT NULL,
    set_at   INTEGER NOT NULL,
    why      TEXT    NOT NULL
);
