-- Marks that wait for a person's release, to find those that a newer mark of the same session replaces.
CREATE INDEX markback_events_held ON markback_events (school, student, day, session) WHERE state = 'held';
