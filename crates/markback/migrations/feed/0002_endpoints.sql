-- Where entries of the feed are delivered to.
CREATE TABLE markback_feed_endpoints (
    id           TEXT   NOT NULL PRIMARY KEY,
    school       TEXT   NOT NULL,            -- empty: all schools, and what concerns no single school
    kinds        TEXT   NOT NULL,            -- ",event,sync,"; empty: all
    url          TEXT   NOT NULL,
    note         TEXT,
    state        TEXT   NOT NULL,            -- active | disabled | gone | dead
    secret       TEXT   NOT NULL,
    old_secret   TEXT,                       -- the one before it, which signs too
    old_until_ms BIGINT,                     -- until then
    created_ms   BIGINT NOT NULL,
    failing_ms   BIGINT,                     -- since when each attempt has failed
    rounds       BIGINT NOT NULL,            -- deliveries given up since the last success
    success_ms   BIGINT,                     -- the last success
    error        TEXT                        -- the last failure
);

-- Deliveries of entries to endpoints.
CREATE TABLE markback_feed_deliveries (
    endpoint TEXT   NOT NULL,
    seq      BIGINT NOT NULL,                -- the entry
    state    TEXT   NOT NULL,                -- waiting | delivered | failed
    round    BIGINT NOT NULL,                -- how often it was sent again on demand
    attempts BIGINT NOT NULL,                -- in this round
    at_ms    BIGINT NOT NULL,                -- of the last change
    PRIMARY KEY (endpoint, seq)
);
CREATE INDEX markback_feed_deliveries_at ON markback_feed_deliveries (at_ms);

-- Each attempt.
CREATE TABLE markback_feed_attempts (
    endpoint TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    took_ms  BIGINT NOT NULL,
    status   BIGINT,                         -- of the answer, if there was one
    error    TEXT                            -- why it does not count as delivered
);
CREATE INDEX markback_feed_attempts_of ON markback_feed_attempts (endpoint, seq);
CREATE INDEX markback_feed_attempts_at ON markback_feed_attempts (at_ms);
