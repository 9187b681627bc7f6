-- What Wonde's copy holds of each school's registers, from a few days ago on.
CREATE TABLE markback_register (
    school       TEXT   NOT NULL,
    slot         TEXT   NOT NULL,            -- a day and session, or a lesson
    student      TEXT   NOT NULL,
    row_key      TEXT   NOT NULL,            -- tells a mark from a note of the same slot: the row's id where it is told
    id           TEXT,                       -- Wonde's id of the row
    day          TEXT,                       -- YYYY-MM-DD; of a lesson's mark only where it is told
    code         TEXT,                       -- the school's id for the code
    comment      TEXT,
    minutes_late BIGINT,
    changed_ms   BIGINT,                     -- when it changed in Wonde's copy, where it is told
    generation   BIGINT NOT NULL,            -- the last full reading that had begun when it was seen
    written_ms   BIGINT NOT NULL,
    PRIMARY KEY (school, slot, student, row_key)
);
CREATE INDEX markback_register_day ON markback_register (day);
CREATE INDEX markback_register_untimed ON markback_register (school) WHERE changed_ms IS NULL;
CREATE INDEX markback_register_undated ON markback_register (written_ms) WHERE day IS NULL;

-- How far each school's registers have been read.
CREATE TABLE markback_register_readings (
    school     TEXT   PRIMARY KEY,
    source     TEXT   NOT NULL,              -- the adapter that read them: with the MIS all ids change
    generation BIGINT NOT NULL,              -- how many full readings have begun
    read_ms    BIGINT,                       -- all changes up to here are known; nothing before the first full reading has ended
    full_ms    BIGINT,                       -- when the last full reading that has ended began
    began_ms   BIGINT,                       -- when the full reading that is under way began,
    from_ms    BIGINT,                       -- from when on it reads changes,
    upto_ms    BIGINT,                       -- how far it has come,
    seen       BIGINT NOT NULL DEFAULT 0,    -- how many rows it has seen,
    trouble    TEXT,                         -- and what its last try met
    touched_ms BIGINT NOT NULL
);
