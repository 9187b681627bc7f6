-- A school's events by when they were: those of a day, and of the last days.
CREATE INDEX markback_events_at ON markback_events (school, at_ms);
