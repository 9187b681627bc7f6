-- Ids are unique per kind of people only, and people go by ids of several sorts.
CREATE TABLE markback_roster_directory (
    school  TEXT NOT NULL,
    kind    TEXT NOT NULL,                   -- student | staff | parent
    sort    TEXT NOT NULL,                   -- id | upi | mis_id | upn | admission_number | card
    id      TEXT NOT NULL,
    person  TEXT NOT NULL,                   -- the key
    present TEXT NOT NULL,                   -- the id at Wonde today
    grp     TEXT,                            -- the group that has them
    PRIMARY KEY (school, kind, sort, id, person)
);
INSERT INTO markback_roster_directory (school, kind, sort, id, person, present, grp)
    SELECT school, kind, 'id', id, person, present, grp FROM markback_roster_ids;
DROP TABLE markback_roster_ids;

-- Schools that are not read by the clock until then.
CREATE TABLE markback_roster_pauses (
    school   TEXT   NOT NULL PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
