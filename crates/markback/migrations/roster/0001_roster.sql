-- What is known of each school's people as a whole.
CREATE TABLE markback_roster_schools (
    school      TEXT   NOT NULL PRIMARY KEY,
    seq         BIGINT NOT NULL,             -- the number of the last change
    pruned_seq  BIGINT NOT NULL,             -- changes up to this number are not kept any more
    known       TEXT   NOT NULL,             -- how each kind of people was read last; no people
    ready       BIGINT NOT NULL,             -- 1: its students are known, if it has any in its groups
    synced_ms   BIGINT NOT NULL,
    full_ms     BIGINT                       -- when all kinds had been read in full
);

-- People's records by their id at Wonde, with the properties that the settings name.
CREATE TABLE markback_roster_records (
    school TEXT NOT NULL,
    kind   TEXT NOT NULL,                    -- student | staff | parent
    id     TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (school, kind, id)
);

-- The keys that people keep, and by what they have been known.
CREATE TABLE markback_roster_keys (
    school TEXT NOT NULL,
    kind   TEXT NOT NULL,
    id     TEXT NOT NULL,                    -- the key
    body   TEXT NOT NULL,
    PRIMARY KEY (school, kind, id)
);

-- The groups as the host has them.
CREATE TABLE markback_roster_members (
    school TEXT NOT NULL,
    kind   TEXT NOT NULL,                    -- here: the group's name
    id     TEXT NOT NULL,                    -- the person's key
    body   TEXT NOT NULL,
    PRIMARY KEY (school, kind, id)
);

-- Those who left a group lately.
CREATE TABLE markback_roster_former (
    school TEXT NOT NULL,
    kind   TEXT NOT NULL,                    -- here: the group's name
    id     TEXT NOT NULL,                    -- the person's key
    body   TEXT NOT NULL,
    PRIMARY KEY (school, kind, id)
);

-- Who an id belongs to, whichever of a person's ids it is.
CREATE TABLE markback_roster_ids (
    school  TEXT NOT NULL,
    id      TEXT NOT NULL,
    person  TEXT NOT NULL,                   -- the key
    kind    TEXT NOT NULL,
    present TEXT NOT NULL,                   -- the id at Wonde today
    grp     TEXT,                            -- the group that has them
    PRIMARY KEY (school, id)
);

-- Who joined, changed and left; what is known of them is in the group's list.
CREATE TABLE markback_roster_changes (
    school TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    at_ms  BIGINT NOT NULL,
    grp    TEXT   NOT NULL,
    person TEXT   NOT NULL,
    body   TEXT   NOT NULL,
    PRIMARY KEY (school, seq)
);
CREATE INDEX markback_roster_changes_group ON markback_roster_changes (school, grp, seq);
CREATE INDEX markback_roster_changes_at ON markback_roster_changes (at_ms);

-- Syncs, past and present.
CREATE TABLE markback_roster_syncs (
    school   TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    why      TEXT   NOT NULL,                -- first | nightly | small | asked
    extent   TEXT   NOT NULL,                -- full | changes
    state    TEXT   NOT NULL,                -- waiting | running | done | held | failed
    asked_ms BIGINT NOT NULL,
    began_ms BIGINT,
    ended_ms BIGINT,
    report   TEXT,
    error    TEXT,
    PRIMARY KEY (school, id)
);
CREATE INDEX markback_roster_syncs_asked ON markback_roster_syncs (asked_ms);

-- A sync that is on its way: what was read so far, to go on with after a crash.
CREATE TABLE markback_roster_pulls (
    school TEXT NOT NULL,
    part   TEXT NOT NULL,                    -- head | student | staff | parent
    body   TEXT NOT NULL,
    PRIMARY KEY (school, part)
);
