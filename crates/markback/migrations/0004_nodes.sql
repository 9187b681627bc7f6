-- The nodes that work on this database, by its own clock.
CREATE TABLE markback_nodes (
    node    TEXT   PRIMARY KEY,
    seen_ms BIGINT NOT NULL
);
