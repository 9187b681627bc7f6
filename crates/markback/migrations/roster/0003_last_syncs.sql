-- A school's last syncs are looked for whenever one of its pages is shown.
CREATE INDEX markback_roster_syncs_last ON markback_roster_syncs (school, asked_ms, id);
