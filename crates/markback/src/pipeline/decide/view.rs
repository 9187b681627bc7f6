//! What the register is assumed to hold: our ledger first, then Wonde's copy, and whether a mark in the copy is ours.

use std::{borrow::Cow, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use mis_core::{HeldCode, HeldMark, Mark, Register, nfc};
use writeback::{RegisterMark, RegisterSource, RegisterView, Withdrawn, WithdrawnTrace};

use crate::{
    ledger::{CLOCK_SLACK, LedgerMark, LedgerRow, Overwritten, SeenMark},
    pipeline::failure::is_longer,
    store::LedgerKey,
};

/// What an event's view of the register is derived from.
pub(crate) struct Sources<'a> {
    /// Our ledger of the session.
    pub(crate) ledger: Option<&'a LedgerRow>,
    /// Wonde's copy of the day.
    pub(crate) register: &'a Result<Arc<Register>, String>,
    /// When the event was first decided, if it was.
    pub(crate) planned_at: Option<DateTime<Utc>>,
    /// How long to wait for the outcome of a mark.
    pub(crate) confirm_within: Duration,
    pub(crate) now: DateTime<Utc>,
    /// Whether the decision depends on what others entered: a code is protected from the event, or a mark of others is not
    /// overwritten without a person's release.
    pub(crate) must_see: bool,
}

/// The view for one event, without its own mark from an earlier decision. `protects` tells whether a code in the
/// register is protected from the event.
///
/// The ledger takes precedence over Wonde's copy, which may be hours old. The copy takes precedence
///
/// - if it shows a protected code, unless a mark of ours has certainly overwritten that very row, later and knowingly:
///   see [`LedgerRow::overwritten`];
/// - if it shows another code that changed after our mark was sent, once our mark should be in the MIS.
pub(crate) fn view_of(
    key: &LedgerKey,
    event: &str,
    sources: &Sources<'_>,
    protects: impl Fn(&HeldCode) -> bool,
) -> RegisterView {
    let now = sources.now;
    if let Some(view) = without_withdrawn(key, event, sources) {
        return view;
    }
    let own = sources
        .ledger
        .and_then(|row| Some((row, row.newest_but(event)?)));
    let (held, read_at) = match sources.register {
        Ok(register) => (register.held(&key.student, key.session), register.read_at()),
        Err(why) => {
            // If any code is protected, nothing is written unseen: an earlier copy may have shown a teacher's mark.
            return match own {
                Some((_, own)) if !sources.must_see => by_ledger(own, now),
                _ => RegisterView::CannotLook { why: why.clone() },
            };
        }
    };
    match (own, held) {
        (Some((row, own)), Some(held)) if held.code != HeldCode::Known(own.code.clone()) => {
            if protects(&held.code) {
                match row.overwritten(held, event) {
                    Overwritten::Yes => by_ledger(own, now),
                    Overwritten::OnItsWay(since)
                        if !is_longer(now - since, sources.confirm_within) =>
                    {
                        RegisterView::CannotLook {
                            why:
                                "a mark of ours that replaces a protected code is not confirmed yet"
                                    .to_owned(),
                        }
                    }
                    Overwritten::OnItsWay(_) | Overwritten::No => by_copy(Some(held), read_at, now),
                }
            } else if changed_since(row, own, held, event, sources) {
                by_copy(Some(held), read_at, now)
            } else {
                by_ledger(own, now)
            }
        }
        // Somebody else may have entered the same protected code; then we must not replace it.
        (Some((row, own)), Some(held)) if protects(&held.code) => match row.is_own_mark(held) {
            Some(true) => by_ledger(own, now),
            None if row.is_of_a_sign_out(own)
                && !is_longer(now - own.since(), sources.confirm_within) =>
            {
                RegisterView::CannotLook {
                    why: "a sign-out's mark with a protected code is not confirmed yet".to_owned(),
                }
            }
            Some(false) | None => by_copy(Some(held), read_at, now),
        },
        (Some((_, own)), _) => by_ledger(own, now),
        (None, held) => by_copy(held, read_at, now),
    }
}

/// The view as it was before the newest mark of ours, if that one was withdrawn and stands in the register all the same:
/// what an event says now takes its place.
fn without_withdrawn(key: &LedgerKey, event: &str, sources: &Sources<'_>) -> Option<RegisterView> {
    let row = sources.ledger?;
    let newest = row.newest_but(event).filter(|mark| mark.withdrawn)?;
    let held = sources.register.as_ref().ok()?;
    let held = held.held(&key.student, key.session);
    // Before its outcome is known, the copy must be as it was when the mark was planned.
    let on_its_way = newest.confirmed_at.is_none()
        && match (held, &newest.over) {
            (None, None) => true,
            (Some(held), Some(over)) => SeenMark::of(held).as_ref() == Some(over),
            _ => false,
        };
    if !on_its_way && trace(row, newest, held) != Trace::Stands {
        return None;
    }
    let before = row.before(&newest.event);
    let is_ours = before.as_ref().is_none_or(|before| before.is_ours);
    Some(RegisterView::Looked {
        held: before.map(|before| before.mark),
        source: if is_ours {
            RegisterSource::OurLedger
        } else {
            RegisterSource::Wonde
        },
        age: Some(sources.now - newest.since()),
    })
}

/// What the register has of the mark of a withdrawn event, and what Wonde's copy shows. `planned` is its mark, in case that
/// the ledger has it no longer.
pub(crate) fn withdrawn_of(
    key: &LedgerKey,
    event: &str,
    planned: impl FnOnce() -> LedgerMark,
    sources: &Sources<'_>,
) -> (Withdrawn, RegisterView) {
    let row = sources.ledger.cloned().unwrap_or_default();
    let mut row = row.unrepaired(event);
    let kept = row.mark(event).cloned();
    let wrong = kept.unwrap_or_else(|| {
        let mark = planned();
        row.enter(&mark);
        mark
    });
    let withdrawn = |trace| Withdrawn {
        date: key.date,
        session: key.session,
        mark: wrong.shown(),
        trace,
    };
    let register = match sources.register {
        Ok(register) => register,
        Err(why) => {
            let why = why.clone();
            let unread = RegisterView::CannotLook { why: why.clone() };
            return (withdrawn(WithdrawnTrace::Unread { why }), unread);
        }
    };
    let held = register.held(&key.student, key.session);
    let found = if row.is_covered(event) {
        WithdrawnTrace::Replaced
    } else {
        match trace(&row, &wrong, held) {
            Trace::Stands => WithdrawnTrace::Stands {
                before: row.before(event).map(|before| before.mark),
            },
            Trace::Changed => WithdrawnTrace::Changed,
            Trace::Unclear(why) => WithdrawnTrace::Unclear {
                why: why.to_owned(),
            },
        }
    };
    let view = by_copy(held, register.read_at(), sources.now);
    (withdrawn(found), view)
}

/// What Wonde's copy says about a mark of ours that no other of ours covers.
#[derive(PartialEq, Eq)]
enum Trace {
    /// It stands, as far as is known.
    Stands,
    /// Somebody else has changed it.
    Changed,
    /// It cannot be told, for this reason.
    Unclear(&'static str),
}

fn trace(row: &LedgerRow, wrong: &LedgerMark, held: Option<&HeldMark>) -> Trace {
    let since = wrong.sent_at.unwrap_or(wrong.planned_at) - CLOCK_SLACK;
    let Some(held) = held else {
        return match wrong.confirmed_at {
            None => Trace::Unclear(
                "the outcome of the mark is not known, and the register does not show it",
            ),
            // There was a row in its place, which Wonde would show as changed.
            Some(_) if wrong.over.is_some() || wrong.found.is_some() => Trace::Changed,
            Some(_) => Trace::Stands,
        };
    };
    if held.code == HeldCode::Known(wrong.code.clone()) {
        return match (held.changed_at, wrong.confirmed_at) {
            (Some(changed), Some(confirmed)) if changed > confirmed => Trace::Unclear(
                "the register's mark with that code changed after ours was confirmed, so somebody may have entered it again",
            ),
            (Some(changed), None) if changed < since => Trace::Unclear(
                "the outcome of the mark is not known, and the register shows the same code from before",
            ),
            _ if !wrong.answered => Trace::Unclear(
                "no answer to the mark was received, so the register's mark with that code may be somebody else's",
            ),
            _ => Trace::Stands,
        };
    }
    let is_of_another = row
        .marks_but(&wrong.event)
        .any(|mark| held.code == HeldCode::Known(mark.code.clone()));
    match (held.changed_at, wrong.confirmed_at) {
        (_, Some(_)) if row.overwritten(held, "") == Overwritten::Yes => Trace::Stands,
        (Some(changed), Some(confirmed)) if changed > confirmed => Trace::Changed,
        (Some(changed), _) if changed >= since && !is_of_another => Trace::Changed,
        (_, None) => Trace::Unclear(
            "the outcome of the mark is not known, and the register shows another code from before",
        ),
        (_, Some(_)) => Trace::Unclear(
            "Wonde's copy of the register shows another code, and whether that is from before or after the mark is not known",
        ),
    }
}

/// Whether somebody changed the mark in the MIS after ours was sent, or after the event was planned. Before ours is
/// confirmed, or time is up, the copy may still show what ours is about to replace, or an earlier mark of ours.
fn changed_since(
    row: &LedgerRow,
    own: &LedgerMark,
    held: &HeldMark,
    event: &str,
    sources: &Sources<'_>,
) -> bool {
    let our_own = row
        .marks_but(event)
        .any(|mark| held.code == HeldCode::Known(mark.code.clone()));
    let since_plan = |at| changed_since_plan(held, at);
    if !our_own && sources.planned_at.is_some_and(since_plan) {
        return true;
    }
    let Some(sent_at) = own.sent_at else {
        return false;
    };
    let given_up = is_longer(sources.now - sent_at, sources.confirm_within);
    let in_mis = own.confirmed_at.or_else(|| given_up.then_some(sources.now));
    let Some(in_mis) = in_mis else { return false };
    changed_after(held, if our_own { in_mis } else { sent_at })
}

/// Whether Wonde's copy shows that this was written after a mark was planned, or so shortly before that the clocks
/// leave it open.
fn changed_since_plan(held: &HeldMark, planned_at: DateTime<Utc>) -> bool {
    let from = planned_at.checked_sub_signed(CLOCK_SLACK);
    changed_after(held, from.unwrap_or(planned_at))
}

/// Whether Wonde's copy shows that this was written after `at`.
fn changed_after(held: &HeldMark, at: DateTime<Utc>) -> bool {
    held.changed_at.is_some_and(|changed| changed > at)
}

/// Whether a held mark is the one that was sent: it is equal, and it is newer than the plan if its time is known.
pub(crate) fn is_ours(held: &HeldMark, mark: &Mark, planned_at: DateTime<Utc>) -> bool {
    let old = held.changed_at.is_some() && !changed_since_plan(held, planned_at);
    !old && says(held, mark)
}

/// Whether a held mark equals the mark to write. If the copy has no comment or minutes, the code decides.
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

fn by_ledger(own: &LedgerMark, now: DateTime<Utc>) -> RegisterView {
    RegisterView::Looked {
        held: Some(RegisterMark {
            code: HeldCode::Known(own.code.clone()),
            comment: own.comment.clone(),
            minutes_late: own.minutes_late,
        }),
        source: RegisterSource::OurLedger,
        // Unknown for a mark from before times were stored.
        age: Some(now - own.since()).filter(|_| own.since() > DateTime::<Utc>::UNIX_EPOCH),
    }
}

fn by_copy(held: Option<&HeldMark>, read_at: DateTime<Utc>, now: DateTime<Utc>) -> RegisterView {
    RegisterView::Looked {
        held: held.map(|held| RegisterMark {
            code: held.code.clone(),
            comment: held.comment.clone(),
            minutes_late: held.minutes_late,
        }),
        source: RegisterSource::Wonde,
        age: Some(now - read_at),
    }
}
