//! Refused marks that are sent again: unchanged, or without the part they may have been refused for.
//!
//! A comment is not worth a mark. A mark that is refused with one goes without it, then without its minutes late, and
//! what proves to be the cause is remembered for the school.

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Ability, Blame, Mark};
use outbox::NewJob;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{jobs::SendJob, planned::PlannedMark};
use crate::{
    ledger::Change,
    schools::token_key,
    settings::School,
    store::{EventState, EventUpdate, LedgerKey, Limit, NewAudit},
};

/// A refused mark that is sent again unless a newer one has taken its place.
#[derive(Clone)]
pub(super) struct Resend {
    pub(super) key: LedgerKey,
    pub(super) job: NewJob,
    planned: PlannedMark,
    why: String,
}

impl Resend {
    /// Sends the mark as it is, no earlier than `from`.
    pub(super) fn unchanged(
        school: &School,
        planned: PlannedMark,
        from: DateTime<Utc>,
        why: String,
    ) -> Self {
        Self::new(school, planned, Some(from), why)
    }

    /// Sends the mark without the parts in its `left_out`.
    pub(super) fn reduced(
        school: &School,
        planned: PlannedMark,
        from: Option<DateTime<Utc>>,
    ) -> Self {
        let why = format!(
            "the MIS refused it; it is sent again without {}",
            parts_left_out(&planned)
        );
        Self::new(school, planned, from, why)
    }

    fn new(
        school: &School,
        planned: PlannedMark,
        from: Option<DateTime<Utc>>,
        why: String,
    ) -> Self {
        let id = school.id.as_str();
        let job = SendJob::new_job(&planned, id, &token_key(school));
        Self {
            key: planned.ledger_key(id),
            job: match from {
                Some(from) => job.not_before(from),
                None => job,
            },
            planned,
            why,
        }
    }

    /// Applies to the ledger only if no newer mark has taken this one's place.
    pub(super) fn claim_place(&self) -> (LedgerKey, Change) {
        let event = self.planned.event.id.clone();
        (self.key.clone(), Change::SendAgain(event))
    }

    /// The event's state while the mark waits to be sent again.
    pub(super) fn queued(&self) -> EventUpdate {
        self.event()
            .state(EventState::Planned)
            .waiting(&self.why)
            .plan(&self.planned)
    }

    /// The event's state if a newer mark has taken the place.
    pub(super) fn superseded(&self) -> EventUpdate {
        self.event().state(EventState::Superseded).outcome(
            "it was refused, and a newer mark for the same pupil, date and session has replaced it",
        )
    }

    /// The ledger's entry for a mark that has changed.
    pub(super) fn new_plan(&self) -> Option<(LedgerKey, Change)> {
        let changed = self.planned.trial.is_some();
        changed.then(|| (self.key.clone(), self.planned.plan()))
    }

    fn event(&self) -> EventUpdate {
        EventUpdate::of(&self.key.school, &self.planned.event.id)
    }
}

/// A mark sent without some part, to learn whether that part was the cause of the refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// The adapter's id of the MIS that refused it.
    mis: String,
    /// The limit that is proved if the mark is accepted now.
    limit: Limit,
    /// The request was refused, so acceptance proves the limit; otherwise confirmation does.
    pub(super) at_once: bool,
    /// The refusal named the part.
    named: bool,
}

impl Trial {
    /// The limit that the mark has proved, with its MIS and how long it is trusted. After that it is tried again: an MIS
    /// changes, and an unexplained refusal may have had another cause.
    pub(super) fn proved(&self) -> (String, Limit, TimeDelta) {
        let trusted = match (self.named, self.at_once) {
            (true, _) => TimeDelta::days(30),
            (false, true) => TimeDelta::days(7),
            (false, false) => TimeDelta::days(1),
        };
        (self.mis.clone(), self.limit, trusted)
    }
}

/// The next try of a refused mark, without its comment or without its minutes late. `None` if it has neither, or if
/// `only_if_named` and the refusal does not name the part.
pub(super) fn reduce(
    planned: &PlannedMark,
    mis: &str,
    message: Option<&str>,
    at_once: bool,
    only_if_named: bool,
) -> Option<PlannedMark> {
    let mark = &planned.mark;
    let blame = Blame::of(message.unwrap_or_default(), mark.comment.as_deref());
    let minutes_alone = blame.minutes_late && !blame.comment;
    let (ability, named) = match (&mark.comment, mark.minutes_late) {
        (_, Some(_)) if minutes_alone => (Ability::MinutesLate, true),
        (Some(_), _) => (Ability::Comment, blame.comment),
        (None, Some(_)) => (Ability::MinutesLate, blame.minutes_late),
        (None, None) => return None,
    };
    if only_if_named && !named {
        return None;
    }
    let limit = match ability {
        Ability::MinutesLate => Limit::NoMinutesLate,
        _ => comment_limit(mark, blame),
    };
    let mut next = planned.clone();
    next.leave_out(ability);
    next.trial = Some(Trial {
        mis: mis.to_owned(),
        limit,
        at_once,
        named,
    });
    Some(next)
}

/// The limit that a refused comment suggests. Unless the refusal says more, only comments this long are too long.
fn comment_limit(mark: &Mark, blame: Blame) -> Limit {
    let length = mark.comment.as_deref().unwrap_or_default().chars().count();
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    match (blame.comment_max, length) {
        (Some(max), length) if max < length => Limit::CommentMax(max),
        (_, 0 | 1) => Limit::NoComment,
        (_, _) if blame.comment && !blame.too_long => Limit::NoComment,
        (_, length) => Limit::CommentMax(length - 1),
    }
}

/// The audit line about a refusal after which the mark goes again without some part. It omits the comment, which may be
/// that part; Wonde's message may repeat it.
pub(super) fn audit_reduced(
    school: &str,
    refused: &PlannedMark,
    next: &PlannedMark,
    why: &str,
    mut more: Value,
) -> NewAudit {
    let comment = refused.mark.comment.as_deref().unwrap_or_default().trim();
    more["why"] = match comment {
        "" => why.into(),
        comment => why.replace(comment, "[the comment]").into(),
    };
    more["comment"] = Value::Null;
    more["goes_again"] = json!(format!("without {}", parts_left_out(next)));
    refused.audit("refused", school, more)
}

/// "its comment and its minutes late".
fn parts_left_out(planned: &PlannedMark) -> String {
    let parts: Vec<_> = planned
        .left_out
        .iter()
        .map(|ability| match ability {
            Ability::Comment => "its comment",
            Ability::MinutesLate => "its minutes late",
            other => other.as_str(),
        })
        .collect();
    parts.join(" and ")
}
