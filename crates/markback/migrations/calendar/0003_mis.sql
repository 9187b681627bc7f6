-- The closures that were last read from the calendar in each school's MIS. The columns are those of the iCalendars.
CREATE TABLE markback_calendar_mis (
    school   TEXT   PRIMARY KEY,
    source   TEXT   NOT NULL,             -- the words that make an event a closure
    closures TEXT,
    read_ms  BIGINT,
    tried_ms BIGINT NOT NULL,
    problem  TEXT,
    left_out TEXT,
    etag     TEXT,
    modified TEXT
);
