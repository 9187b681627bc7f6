//! What the register is taken to hold: our own ledger first, then Wonde's copy, and whether a mark in that is ours.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{HeldCode, HeldMark, Mark, Register, nfc};
use writeback::{Held, RegisterView, Source};

use super::job::SendJob;
use crate::store::{LedgerKey, LedgerMark, LedgerRow, Stage};

/// The view for one event, which may have been decided before, at `planned_at`. Its own mark from then is not in its way:
/// what we had written before that is what the register holds, unless the copy shows what has changed since.
pub(crate) fn view_of(
    key: &LedgerKey,
    event: &str,
    row: Option<&LedgerRow>,
    register: &Result<Arc<Register>, String>,
    now: DateTime<Utc>,
    planned_at: Option<DateTime<Utc>>,
) -> RegisterView {
    let own = row.and_then(|row| match &row.mark {
        Some(mark) if mark.event == event => row.before.as_ref(),
        other => other.as_ref(),
    });
    let copy = register
        .as_ref()
        .map(|register| (register.held(&key.student, key.session), register.read_at()));
    match (own, copy) {
        (Some(own), Ok((Some(held), read_at)))
            if changed_since(own, held)
                || planned_at
                    .is_some_and(|at| !same_code(own, held) && changed_since_plan(held, at)) =>
        {
            looked(held, read_at, now)
        }
        (Some(own), _) => RegisterView::Looked {
            held: Some(Held {
                code: HeldCode::Known(own.code.clone()),
                comment: own.comment.clone(),
                minutes_late: own.minutes_late,
            }),
            source: Source::OurLedger,
            // When an earlier mark of ours came there is not kept.
            age: Some(now - own.since).filter(|_| own.since > DateTime::<Utc>::UNIX_EPOCH),
        },
        (None, Ok((Some(held), read_at))) => looked(held, read_at, now),
        (None, Ok((None, read_at))) => RegisterView::Looked {
            held: None,
            source: Source::Wonde,
            age: Some(now - read_at),
        },
        (None, Err(why)) => RegisterView::CannotLook { why: why.clone() },
    }
}

/// How much Wonde's clock may be behind ours, and its times be cut to seconds, without our own mark passing for an older one.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(5);

/// Whether somebody changed the mark in the MIS after ours was in it. Only then is Wonde's copy newer than our ledger:
/// before the confirmation it may still show what our mark is about to replace.
fn changed_since(own: &LedgerMark, held: &HeldMark) -> bool {
    own.stage == Stage::Confirmed && !same_code(own, held) && changed_after(held, own.since)
}

/// Whether the copy shows the code of our own mark. Then it may have just arrived there: Wonde passes marks on for minutes.
fn same_code(own: &LedgerMark, held: &HeldMark) -> bool {
    held.code == HeldCode::Known(own.code.clone())
}

/// Whether Wonde's copy shows that this was written after a mark was planned, or so close before that the clocks leave it open.
fn changed_since_plan(held: &HeldMark, planned_at: DateTime<Utc>) -> bool {
    let from = planned_at.checked_sub_signed(CLOCK_SLACK);
    changed_after(held, from.unwrap_or(planned_at))
}

/// Whether Wonde's copy shows that this was written after `at`.
fn changed_after(held: &HeldMark, at: DateTime<Utc>) -> bool {
    held.changed_at.is_some_and(|changed| changed > at)
}

/// Whether a held mark is the one that was sent: it says the same, and came there after it was planned, where that is told.
pub(super) fn is_ours(held: &HeldMark, send: &SendJob) -> bool {
    let old = held.changed_at.is_some() && !changed_since_plan(held, send.planned_at);
    !old && says(held, &send.mark)
}

/// Whether a held mark says what was to be written. Where the copy does not tell comment or minutes, the code must do.
fn says(held: &HeldMark, mark: &Mark) -> bool {
    let same = |told: bool, equal: bool| !told || equal;
    held.code == HeldCode::Known(mark.code.clone())
        && same(
            held.comment.is_some(),
            in_nfc(held.comment.as_deref()) == in_nfc(mark.comment.as_deref()),
        )
        && same(
            held.minutes_late.is_some(),
            held.minutes_late == mark.minutes_late,
        )
}

fn in_nfc(comment: Option<&str>) -> Option<Cow<'_, str>> {
    comment.map(nfc)
}

fn looked(held: &HeldMark, read_at: DateTime<Utc>, now: DateTime<Utc>) -> RegisterView {
    RegisterView::Looked {
        held: Some(Held {
            code: held.code.clone(),
            comment: held.comment.clone(),
            minutes_late: held.minutes_late,
        }),
        source: Source::Wonde,
        age: Some(now - read_at),
    }
}
