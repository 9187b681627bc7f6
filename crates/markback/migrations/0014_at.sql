-- A school's events by when they were: those of a day, and of the last days.
CREATE INDEX markback_events_at ON markback_events (school, at_ms);
-- A person's events by when they came in. The condition is true of each, and keeps statements that want them by their own
-- time from using this index.
CREATE INDEX markback_events_of_person ON markback_events (school, person, received_ms) WHERE received_ms >= 0;
