//! A planned mark: kept in its event's row from the decision until the mark's outcome is known.

use chrono::{DateTime, Utc};
use mis_core::{Ability, Mark};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use writeback::{Event, RegisterMark, Rule, Standing};

use super::resend::Trial;
use crate::{
    ledger::{Change, LedgerMark, SeenMark},
    store::{LedgerKey, NewAudit, StoredEvent},
};

/// A mark to send, with everything needed to decide again before it goes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PlannedMark {
    /// Stored beside the plan, not in it.
    #[serde(skip_serializing)]
    pub(crate) event: Event,
    pub(crate) mark: Mark,
    pub(crate) group: String,
    pub(crate) rule: Rule,
    pub(crate) dropped: Vec<Ability>,
    /// The register at the time of the decision, for the audit trail.
    pub(crate) found: Value,
    /// When it was planned first.
    pub(crate) planned_at: DateTime<Utc>,
    /// How often a writeback that contained this mark was refused after Wonde had accepted it.
    #[serde(default)]
    pub(crate) refusals: u32,
    /// How often an operator has retried the event.
    pub(crate) round: u32,
    /// When the event came in, or was reopened.
    pub(crate) received_at: DateTime<Utc>,
    /// Parts that the MIS refused; the mark is sent without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<Ability>,
    /// What is learned if the mark is accepted without the last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
    /// The events that stood in the session when this was planned: a later decision compares with these.
    pub(crate) against: Standing,
    /// The same after this event.
    pub(crate) standing: Standing,
    /// What Wonde's copy of the register showed when this was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<SeenMark>,
    /// Somebody else's mark that the register showed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<RegisterMark>,
    /// The mark that this one repairs, if the event was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repairs: Option<Box<LedgerMark>>,
    /// Whether the event was withdrawn. Stored beside the plan, not in it.
    #[serde(default, skip_serializing)]
    pub(crate) withdrawn: bool,
    /// Whether the mark waits for a person's release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    /// Whether a person has released the mark, so that it is not held again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) released: bool,
}

impl PlannedMark {
    /// Reads the mark from its event's row; `None` if the row holds no readable plan.
    pub(crate) fn read(stored: &StoredEvent) -> Option<Self> {
        let mut plan: Value = serde_json::from_str(stored.plan.as_deref()?).ok()?;
        let event = serde_json::from_str(&stored.body).ok()?;
        let plan_fields = plan.as_object_mut()?;
        plan_fields.insert("event".to_owned(), event);
        plan_fields.insert("withdrawn".to_owned(), stored.withdrawn.into());
        serde_json::from_value(plan).ok()
    }

    /// How often the mark was refused in this round; each try is a job of its own.
    pub(super) fn tries(&self) -> u32 {
        let left_out = u32::try_from(self.left_out.len()).unwrap_or(u32::MAX);
        self.refusals.saturating_add(left_out)
    }

    /// Removes a part that the MIS refused.
    pub(super) fn leave_out(&mut self, ability: Ability) {
        match ability {
            Ability::Comment => self.mark.comment = None,
            Ability::MinutesLate => self.mark.minutes_late = None,
            _ => return,
        }
        for list in [&mut self.left_out, &mut self.dropped] {
            list.push(ability);
            list.sort_unstable();
            list.dedup();
        }
    }

    /// The pupil's session that the mark is for.
    pub(super) fn ledger_key(&self, school: &str) -> LedgerKey {
        LedgerKey {
            school: school.to_owned(),
            student: self.mark.student.clone(),
            date: self.mark.date,
            session: self.mark.session,
        }
    }

    /// The mark as the ledger keeps it, sent at this time or not yet.
    pub(super) fn ledger_mark(&self, sent_at: Option<DateTime<Utc>>) -> LedgerMark {
        LedgerMark {
            event: self.event.id.clone(),
            code: self.mark.code.clone(),
            comment: self.mark.comment.clone(),
            minutes_late: self.mark.minutes_late,
            planned_at: self.planned_at,
            answered: sent_at.is_some(),
            sent_at,
            confirmed_at: None,
            against: self.against.clone(),
            over: self.over.clone(),
            found: self.before.clone(),
            held: self.held,
            // Its event was withdrawn before this mark was planned; this mark is right.
            withdrawn: self.withdrawn && self.repairs.is_none(),
            repairs: self.repairs.clone(),
        }
    }

    /// The mark that was sent before the event was withdrawn.
    pub(super) fn first_mark(&self) -> LedgerMark {
        let first = self.repairs.as_deref().cloned();
        first.unwrap_or_else(|| self.ledger_mark(None))
    }

    /// The ledger's entry for the plan.
    pub(super) fn plan(&self) -> Change {
        Change::Plan {
            mark: self.ledger_mark(None),
            standing: Some(self.standing.clone()),
        }
    }

    /// Removes the plan from the ledger.
    pub(super) fn forget(&self, school: &str) -> (LedgerKey, Change) {
        let change = Change::Forget(self.event.id.clone());
        (self.ledger_key(school), change)
    }

    /// A line of the audit trail about the mark, with the fields of `more`.
    pub(super) fn audit(&self, what: &'static str, school: &str, more: Value) -> NewAudit {
        let mark = &self.mark;
        let mut record = json!({
            "student": mark.student,
            "date": mark.date,
            "session": mark.session.as_str(),
            "before": self.found,
            "code": mark.code,
            "comment": mark.comment,
            "minutes_late": mark.minutes_late,
            "dropped": self.dropped,
            "rule": self.rule,
            "group": self.group,
            "cause": mark.cause,
            "event_at": self.event.at,
        });
        if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
            record.extend(more);
        }
        NewAudit {
            school: school.to_owned(),
            event: self.event.id.clone(),
            what,
            record,
        }
    }
}
