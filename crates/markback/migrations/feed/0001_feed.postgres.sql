-- What hosts are told: outcomes of events, changes of groups, ends of syncs, notices.
CREATE TABLE markback_feed (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq    BIGINT,                           -- its number for readers; none until it is committed and numbered
    school TEXT   NOT NULL,                  -- empty if it concerns no school or several
    kind   TEXT   NOT NULL,                  -- event | group | sync | notice
    at_ms  BIGINT NOT NULL,
    body   TEXT   NOT NULL                   -- JSON; no name, no comment
);
CREATE UNIQUE INDEX markback_feed_seq ON markback_feed (seq);
CREATE INDEX markback_feed_unnumbered ON markback_feed (id) WHERE seq IS NULL;
CREATE INDEX markback_feed_school ON markback_feed (school, seq);

-- The last number, and the number up to which entries are not kept any more.
CREATE TABLE markback_feed_head (
    one        BIGINT NOT NULL PRIMARY KEY,
    seq        BIGINT NOT NULL,
    pruned_seq BIGINT NOT NULL
);
INSERT INTO markback_feed_head (one, seq, pruned_seq) VALUES (1, 0, 0);

-- Schools and tokens that rest, as far as the feed has told of them.
CREATE TABLE markback_feed_paused (
    key      TEXT   NOT NULL PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
