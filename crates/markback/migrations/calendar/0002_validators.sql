-- What a server said about the version of an iCalendar, to ask only for a newer one.
ALTER TABLE markback_calendar_feeds ADD COLUMN etag TEXT;
ALTER TABLE markback_calendar_feeds ADD COLUMN modified TEXT;
