-- The generation in which the token was set. Sealing the same token with another key leaves it as it is.
ALTER TABLE markback_settings_tokens ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;

-- What became of schools' tokens. Lines are only added, and none holds a token.
CREATE TABLE markback_settings_token_log (
    school     TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    what       TEXT   NOT NULL,              -- set | resealed | removed
    key_id     TEXT,                         -- the key it is sealed with from then on
    author     TEXT,
    via        TEXT   NOT NULL,
    note       TEXT,
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (school, generation)
);
