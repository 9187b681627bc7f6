-- Who changed what, and who looked at whom. Ids only: no names of pupils, no comments.
CREATE TABLE markback_audit_log_entries (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms     BIGINT NOT NULL,
    kind      TEXT   NOT NULL,               -- change | look
    action    TEXT   NOT NULL,
    school    TEXT,                          -- NULL: no school in particular
    subject   TEXT,                          -- the id of the event, person, group, version or key
    amount    BIGINT,                        -- of how many, if the entry is about several
    key_id    TEXT,                          -- the public part of the API key, if it was one
    caller    TEXT,                          -- the key's name, or the system user
    via       TEXT   NOT NULL
);
CREATE INDEX markback_audit_log_entries_school ON markback_audit_log_entries (school, seq);
CREATE INDEX markback_audit_log_entries_at ON markback_audit_log_entries (at_ms);

-- One row: entries from before this time are past their retention. Pruning raises it, and nothing lowers it.
CREATE TABLE markback_audit_log_horizon (
    one       BIGINT NOT NULL PRIMARY KEY,
    before_ms BIGINT NOT NULL
);
INSERT INTO markback_audit_log_horizon (one, before_ms) VALUES (1, 0);

CREATE TRIGGER markback_audit_log_no_update BEFORE UPDATE ON markback_audit_log_entries
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER markback_audit_log_no_delete BEFORE DELETE ON markback_audit_log_entries
WHEN old.at_ms >= (SELECT max(before_ms) FROM markback_audit_log_horizon)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER markback_audit_log_horizon_no_lower BEFORE UPDATE ON markback_audit_log_horizon
WHEN new.before_ms < old.before_ms
BEGIN
    SELECT RAISE(ABORT, 'the horizon of the audit log cannot be lowered');
END;
