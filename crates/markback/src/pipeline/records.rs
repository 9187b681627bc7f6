//! What is written down of decisions and marks: an event's news, the ledger's mark, the audit trail.

use chrono::{DateTime, Utc};
use mis_core::StudentId;
use serde_json::{Value, json};
use writeback::{Decision, Event, RegisterBefore};

use super::job::SendJob;
use crate::{
    ledger::{Change, LedgerMark},
    store::{EventUpdate, NewAudit, session_word},
};

/// What is written down of a decision.
pub(super) fn news_of(
    school: &str,
    event: &Event,
    student: &StudentId,
    decision: &Decision,
) -> EventUpdate {
    let (day, session) = decision.session.unzip();
    EventUpdate {
        student: Some(student.to_string()),
        day: day.map(|day| day.to_string()),
        session: session.map(|session| session_word(session).to_owned()),
        decision: serde_json::to_string(decision).ok(),
        ..EventUpdate::of(school, &event.id)
    }
}

/// The register as found, for the audit trail.
pub(super) fn found(found: Option<&RegisterBefore>) -> Value {
    found.map_or(Value::Null, |found| {
        json!({
            "code": found.code,
            "source": found.source,
            "age_seconds": found.age.map(|age| age.num_seconds()),
        })
    })
}

/// Our mark as the ledger keeps it, sent at this time or not yet.
pub(super) fn own_mark(send: &SendJob, sent_at: Option<DateTime<Utc>>) -> LedgerMark {
    LedgerMark {
        event: send.event.id.clone(),
        code: send.mark.code.clone(),
        comment: send.mark.comment.clone(),
        minutes_late: send.mark.minutes_late,
        planned_at: send.planned_at,
        answered: sent_at.is_some(),
        sent_at,
        confirmed_at: None,
        against: send.against.clone(),
        over: send.over.clone(),
    }
}

/// The plan to send a mark, for the ledger.
pub(super) fn plan(send: &SendJob) -> Change {
    Change::Plan {
        mark: own_mark(send, None),
        standing: send.standing.clone(),
    }
}

/// A line of the audit trail about a mark, with `more` in it.
pub(super) fn audit_of(what: &'static str, school: &str, send: &SendJob, more: Value) -> NewAudit {
    let mark = &send.mark;
    let mut record = json!({
        "student": mark.student,
        "date": mark.date,
        "session": session_word(mark.session),
        "before": send.found,
        "code": mark.code,
        "comment": mark.comment,
        "minutes_late": mark.minutes_late,
        "dropped": send.dropped,
        "rule": send.rule,
        "group": send.group,
        "cause": mark.cause,
        "event_at": send.event.at,
    });
    if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
        record.extend(more);
    }
    NewAudit {
        school: school.to_owned(),
        event: send.event.id.clone(),
        what,
        record,
    }
}
