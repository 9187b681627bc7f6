CREATE SEQUENCE outbox_numbers;

CREATE TABLE outbox_jobs (
    id            BIGINT   PRIMARY KEY,
    seq           BIGINT   NOT NULL,            -- place in the line of its order key; = id until it is re-opened
    queue         TEXT     NOT NULL,
    key           TEXT     NOT NULL,            -- idempotency key
    order_key     TEXT,
    lane          TEXT     NOT NULL,            -- '' = none
    second_lane   TEXT     NOT NULL,            -- '' = none
    supersede_key TEXT,
    state         SMALLINT NOT NULL DEFAULT 0,  -- 0 open, 1 dead, 2 done, 3 superseded, 4 discarded
    held          SMALLINT NOT NULL DEFAULT 0,  -- of an open job: 0 waiting, 1 leased, 2 parked by a pause
    due_at        BIGINT   NOT NULL,            -- waiting: claimable from; leased: the lease lapses at
    run_at        BIGINT   NOT NULL,            -- never before this, whatever else
    set_at        BIGINT   NOT NULL,            -- the store's time when due_at was set
    fence         BIGINT   NOT NULL DEFAULT 0,
    attempts      BIGINT   NOT NULL DEFAULT 0,
    lapsed        BIGINT   NOT NULL DEFAULT 0,  -- 1: claimed from a holder who never answered
    created_at    BIGINT   NOT NULL,
    finished_at   BIGINT,
    superseded_by BIGINT,
    note          TEXT,
    payload       TEXT     NOT NULL
) WITH (
    -- a queue's rows are short-lived: clean up after a few thousand changes, not after a fifth of the table
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
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
    lane     TEXT   PRIMARY KEY,
    until_at BIGINT NOT NULL,
    set_at   BIGINT NOT NULL,
    why      TEXT   NOT NULL
);
