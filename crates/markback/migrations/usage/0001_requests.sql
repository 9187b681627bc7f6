-- Requests to MISs by token, hour and purpose. A token is known by its throttle key, never by itself.
CREATE TABLE markback_usage_requests (
    token    TEXT   NOT NULL,
    hour_ms  BIGINT NOT NULL,             -- the beginning of the hour
    purpose  TEXT   NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (token, hour_ms, purpose)
);
CREATE INDEX markback_usage_requests_hour ON markback_usage_requests (hour_ms);
