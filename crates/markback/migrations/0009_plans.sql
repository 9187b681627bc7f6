-- The planned mark of an event as JSON, so that jobs need to carry ids only.
ALTER TABLE markback_events ADD COLUMN plan TEXT;
