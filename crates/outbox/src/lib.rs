//! A durable queue, in order per key, on SQLite and PostgreSQL.
