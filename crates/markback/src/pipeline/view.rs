//! What the rules are shown of the register: our own ledger first, then Wonde's copy.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use mis_core::{HeldCode, HeldMark, Register};
use writeback::{Held, RegisterView, Source};

use crate::store::{LedgerKey, LedgerMark, LedgerRow, Stage};

/// The view for one event. Its own mark from an earlier try is not in its way.
pub(crate) fn view_of(
    key: &LedgerKey,
    event: &str,
    row: Option<&LedgerRow>,
    register: &Result<Arc<Register>, String>,
    now: DateTime<Utc>,
) -> RegisterView {
    let own = row
        .and_then(|row| row.mark.as_ref())
        .filter(|mark| mark.event != event);
    let copy = register
        .as_ref()
        .map(|register| (register.held(&key.student, key.session), register.read_at()));
    match (own, copy) {
        (Some(own), Ok((Some(held), read_at))) if changed_since(own, held) => {
            looked(held, read_at, now)
        }
        (Some(own), _) => RegisterView::Looked {
            held: Some(Held {
                code: HeldCode::Known(own.code.clone()),
                comment: own.comment.clone(),
                minutes_late: own.minutes_late,
            }),
            source: Source::OurLedger,
            age: Some(now - own.since),
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

/// Whether somebody changed the mark in the MIS after ours was in it. Only then is Wonde's copy newer than our ledger:
/// before the confirmation it may still show what our mark is about to replace.
fn changed_since(own: &LedgerMark, held: &HeldMark) -> bool {
    own.stage == Stage::Confirmed
        && held.code != HeldCode::Known(own.code.clone())
        && held.changed_at.is_some_and(|changed| changed > own.since)
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
