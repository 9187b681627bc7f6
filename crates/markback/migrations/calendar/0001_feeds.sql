-- The closures that were last read from each school's iCalendar, so that they count on when it cannot be read.
CREATE TABLE markback_calendar_feeds (
    school   TEXT   PRIMARY KEY,
    source   TEXT   NOT NULL,             -- the path of the iCalendar file
    closures TEXT,                        -- JSON; NULL if this source was never read
    read_ms  BIGINT,                      -- when the closures were read
    tried_ms BIGINT NOT NULL,             -- when the source was last tried, successfully or not
    problem  TEXT,                        -- why the last try failed
    left_out TEXT                         -- which events the last reading did not take
);
