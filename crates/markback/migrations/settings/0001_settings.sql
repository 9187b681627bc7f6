-- The settings of schools, and templates, each as versions. A version never changes.
CREATE TABLE markback_settings_versions (
    scope   TEXT   NOT NULL,                 -- school | template
    name    TEXT   NOT NULL,                 -- the school's id, or the template's name
    number  BIGINT NOT NULL,                 -- from 1, without gaps
    body    TEXT   NOT NULL,                 -- TOML, as in the settings file below its [[school]] or [[template]]
    base    BIGINT NOT NULL,                 -- the number that its author had seen; 0 before the first
    author  TEXT,
    via     TEXT   NOT NULL,
    note    TEXT,
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (scope, name, number)
);

-- Which version rules, and what happens if the settings file has the same school too.
CREATE TABLE markback_settings_active (
    scope       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    number      BIGINT NOT NULL,             -- 0: removed
    beside_file TEXT   NOT NULL,             -- refuse | store | file: who rules if the file has it as well
    since_ms    BIGINT NOT NULL,             -- since when the database has it
    generation  BIGINT NOT NULL,             -- the generation in which this row changed
    PRIMARY KEY (scope, name)
);
CREATE INDEX markback_settings_active_generation ON markback_settings_active (generation);

-- What ruled when. Lines are only added.
CREATE TABLE markback_settings_activations (
    scope      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    number     BIGINT NOT NULL,              -- 0: removed
    generation BIGINT NOT NULL,
    author     TEXT,
    via        TEXT   NOT NULL,
    note       TEXT,
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (scope, name, generation)
);

-- One row: a number that each activation raises. Whoever raises it holds its lock, so generations become visible in
-- their order, and a node that looks at this row knows whether anything has changed.
CREATE TABLE markback_settings_generation (
    one        BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO markback_settings_generation (one, generation) VALUES (1, 0);

-- Schools' tokens for Wonde, sealed with a key that is not in the database.
CREATE TABLE markback_settings_tokens (
    school TEXT   NOT NULL PRIMARY KEY,
    key_id TEXT   NOT NULL,                  -- a fingerprint of the key
    sealed TEXT   NOT NULL,                  -- nonce and ciphertext, Base64
    author TEXT,
    via    TEXT   NOT NULL,
    at_ms  BIGINT NOT NULL
);

-- The last valid text of each settings file, and of the list of schools that it names.
CREATE TABLE markback_settings_files (
    path  TEXT   NOT NULL,
    list  BIGINT NOT NULL,                   -- 1: the list of schools
    body  TEXT   NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (path, list)
);
