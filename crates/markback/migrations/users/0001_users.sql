-- The users of the pages. A password itself is nowhere.
CREATE TABLE markback_users_accounts (
    name         TEXT   NOT NULL PRIMARY KEY, -- for signing in, in small letters
    shown        TEXT   NOT NULL,             -- as pages show it
    password     TEXT   NOT NULL,             -- Argon2id in the PHC form
    stamp        BIGINT NOT NULL,             -- new with each password and each disabling: sessions of another have ended
    role         TEXT   NOT NULL,
    schools      TEXT,                        -- a JSON list of ids; NULL: all schools
    created_ms   BIGINT NOT NULL,
    created_by   TEXT,
    signed_in_ms BIGINT,
    disabled_ms  BIGINT
);

-- Who is signed in. The id of a session is nowhere, only its hash.
CREATE TABLE markback_users_sessions (
    hash       TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    stamp      BIGINT NOT NULL,
    data       TEXT   NOT NULL,               -- a JSON object
    created_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL
);
CREATE INDEX markback_users_sessions_name ON markback_users_sessions (name);

-- In which browsers users have signed in before, by the hash of a random text that the browser keeps.
CREATE TABLE markback_users_browsers (
    name    TEXT   NOT NULL,
    hash    TEXT   NOT NULL,
    seen_ms BIGINT NOT NULL,
    PRIMARY KEY (name, hash)
);
