ALTER TABLE outbox_jobs RENAME COLUMN lane TO partition_key;
ALTER TABLE outbox_jobs RENAME COLUMN second_lane TO throttle_key;
-- SQLite cannot rename an index.
DROP INDEX outbox_jobs_lane;
CREATE INDEX outbox_jobs_partition ON outbox_jobs (queue, partition_key, due_at, seq) WHERE (state - 0) = 0;
DROP INDEX outbox_jobs_parked;
CREATE INDEX outbox_jobs_deferred ON outbox_jobs (partition_key) WHERE held = 2;
ALTER TABLE outbox_pauses RENAME COLUMN lane TO key;
ALTER TABLE outbox_pauses RENAME COLUMN why TO reason;
