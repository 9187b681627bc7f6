-- A school's events, latest first: what its office looks at.
CREATE INDEX markback_events_school ON markback_events (school, received_ms);
-- Those that wait for a person. Few events ever come here.
CREATE INDEX markback_events_problems ON markback_events (school, received_ms)
    WHERE state IN ('held', 'failed', 'rejected', 'unconfirmed');
