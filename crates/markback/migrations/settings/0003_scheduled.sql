-- Versions that are to rule from a day on, at most one for each school. A row goes when its version begins to rule.
CREATE TABLE markback_settings_scheduled (
    scope            TEXT   NOT NULL,
    name             TEXT   NOT NULL,
    number           BIGINT NOT NULL,
    day              TEXT   NOT NULL,        -- at the school: 2027-01-05
    from_ms          BIGINT NOT NULL,        -- when that day begins
    author           TEXT,
    via              TEXT   NOT NULL,
    note             TEXT,
    at_ms            BIGINT NOT NULL,
    problem          TEXT,                   -- why it could not begin to rule when it was tried last
    tried_generation BIGINT,                 -- it is tried again after a later change of settings
    PRIMARY KEY (scope, name)
);
