-- The keys of the API. A key itself is nowhere: it is found by its public part and compared by its hash.
CREATE TABLE markback_keys_issued (
    id           TEXT   NOT NULL PRIMARY KEY, -- the public part
    hash         TEXT   NOT NULL,             -- SHA-256 of the whole key, hex
    name         TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,             -- a JSON list of words
    schools      TEXT,                        -- a JSON list of ids; NULL: all schools
    created_ms   BIGINT NOT NULL,
    created_by   TEXT,
    expires_ms   BIGINT,                      -- NULL: never
    last_used_ms BIGINT,
    revoked_ms   BIGINT,
    revoked_by   TEXT
);

-- One row: a number that each added or revoked key raises, so a node that looks at it knows whether any key changed.
CREATE TABLE markback_keys_generation (
    one        BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO markback_keys_generation (one, generation) VALUES (1, 0);
