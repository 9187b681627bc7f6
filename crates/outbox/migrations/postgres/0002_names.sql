ALTER TABLE outbox_jobs RENAME COLUMN lane TO partition_key;
ALTER TABLE outbox_jobs RENAME COLUMN second_lane TO throttle_key;
ALTER INDEX outbox_jobs_lane RENAME TO outbox_jobs_partition;
ALTER INDEX outbox_jobs_parked RENAME TO outbox_jobs_deferred;
ALTER TABLE outbox_pauses RENAME COLUMN lane TO key;
ALTER TABLE outbox_pauses RENAME COLUMN why TO reason;
