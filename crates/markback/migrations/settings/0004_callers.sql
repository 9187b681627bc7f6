-- Who wrote a version, as they proved it: the public part of an API key, or a user. What `author` says is up to them.
ALTER TABLE markback_settings_versions ADD COLUMN caller TEXT;
