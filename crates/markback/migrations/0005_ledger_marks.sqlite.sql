-- All marks of ours that a session may hold, as a JSON array, oldest first: instead of the last one and the one before it.
ALTER TABLE markback_ledger ADD COLUMN marks TEXT;
UPDATE markback_ledger SET marks = json_array(json_object(
    'event', event, 'code', code, 'comment', comment, 'minutes_late', minutes_late,
    'planned_ms', COALESCE((SELECT e.decided_ms FROM markback_events e WHERE e.school = markback_ledger.school AND e.id = markback_ledger.event), stage_ms),
    'sent_ms', CASE WHEN stage = 'planned' THEN NULL ELSE
        COALESCE((SELECT e.sent_ms FROM markback_events e WHERE e.school = markback_ledger.school AND e.id = markback_ledger.event), stage_ms) END,
    'confirmed_ms', CASE WHEN stage = 'confirmed' THEN stage_ms END,
    'against', json(COALESCE(before_standing, '{}'))))
WHERE code IS NOT NULL AND event IS NOT NULL AND stage_ms IS NOT NULL;
-- When the mark before came where it was is in its event, or else not known: then everything counts as later.
UPDATE markback_ledger SET marks = '[' || json_object(
    'event', before_event, 'code', before_code, 'comment', before_comment, 'minutes_late', before_minutes_late,
    'planned_ms', COALESCE((SELECT e.decided_ms FROM markback_events e WHERE e.school = markback_ledger.school AND e.id = markback_ledger.before_event), 0),
    'sent_ms', COALESCE((SELECT e.sent_ms FROM markback_events e WHERE e.school = markback_ledger.school AND e.id = markback_ledger.before_event), 0),
    'confirmed_ms', (SELECT e.settled_ms FROM markback_events e
                     WHERE e.school = markback_ledger.school AND e.id = markback_ledger.before_event AND e.state = 'confirmed'))
    || ',' || substr(marks, 2)
WHERE marks IS NOT NULL AND before_code IS NOT NULL AND before_event IS NOT NULL;
ALTER TABLE markback_ledger DROP COLUMN code;
ALTER TABLE markback_ledger DROP COLUMN comment;
ALTER TABLE markback_ledger DROP COLUMN minutes_late;
ALTER TABLE markback_ledger DROP COLUMN event;
ALTER TABLE markback_ledger DROP COLUMN stage;
ALTER TABLE markback_ledger DROP COLUMN stage_ms;
ALTER TABLE markback_ledger DROP COLUMN before_code;
ALTER TABLE markback_ledger DROP COLUMN before_comment;
ALTER TABLE markback_ledger DROP COLUMN before_minutes_late;
ALTER TABLE markback_ledger DROP COLUMN before_event;
ALTER TABLE markback_ledger DROP COLUMN before_standing;
