//! Each ability works if it is declared, with the fixture's request on the wire. If it is not declared, nothing is
//! sent.

use anyhow::{Context as _, bail, ensure};
use mis_wonde::{
    Ability, Capabilities, ErrorKind, EventKind, Mark, MarkResult, Receipt, Session,
    WritebackOutcome,
};

use super::{capabilities::outcome_is_unsupported, cases, readers_only, writers};
use crate::{
    bench::{Bench, WITH_AND_WITHOUT_GUARD},
    fixtures::{Fixture, Outcome},
    standard::{self, ADA, BEN, COMMENT, DOT, WINTER},
};

cases! {
    Positive Some(Ability::Session), "session::a_mark_is_stored", writers => a_mark_is_stored;
    Positive Some(Ability::Session), "session::a_register_is_one_request", writers => a_register_is_one_request;
    Positive Some(Ability::Session), "session::the_outcome_is_reported", writers => the_outcome_is_reported;
    Negative Some(Ability::Session), "session::an_unknown_writeback_is_not_found", writers => an_unknown_writeback;
    Negative Some(Ability::Session), "session::is_rejected_without_a_request", readers_only => session_is_rejected;
    Positive Some(Ability::Comment), "comment::is_stored", |can| can.comment => comment_is_stored;
    Negative Some(Ability::Comment), "comment::is_rejected_without_a_request", |can| !can.comment => comment_is_rejected;
    Negative Some(Ability::Comment), "comment::too_long_is_rejected_without_a_request", |can| can.comment_max.is_some() => overlong_is_rejected;
    Positive Some(Ability::MinutesLate), "minutes_late::are_stored", |can| can.minutes_late => minutes_are_stored;
    Negative Some(Ability::MinutesLate), "minutes_late::are_rejected_without_a_request", |can| !can.minutes_late => minutes_are_rejected;
    Positive Some(Ability::EarlyLeaver), "early_leaver::is_stored", |can| can.early_leaver => leaver_is_stored;
    Negative Some(Ability::EarlyLeaver), "early_leaver::is_rejected_without_a_request", |can| !can.early_leaver => leaver_is_rejected;
}

fn plain() -> Mark {
    standard::mark(ADA, Session::Am, "L")
}

fn commented() -> Mark {
    Mark {
        comment: Some(COMMENT.to_owned()),
        ..plain()
    }
}

fn late() -> Mark {
    Mark {
        minutes_late: Some(7),
        ..plain()
    }
}

fn left() -> Mark {
    Mark {
        cause: EventKind::SignOut,
        ..standard::mark(ADA, Session::Pm, "M")
    }
}

/// Writes a mark, compares the request with the fixture, and checks that the register shows the mark.
async fn is_stored(bench: &Bench, fixture: Fixture, mark: Mark) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let marks = [mark];
    bench.write_all(&desk, &marks).await?;
    bench.sent_as(fixture)?;
    bench.is_in_register(&desk, WINTER, &marks).await
}

async fn is_rejected(bench: &Bench, mark: Mark) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    // A valid mark in the same register does not change that.
    for marks in [
        vec![mark.clone()],
        vec![standard::mark(BEN, Session::Pm, "\\"), mark],
    ] {
        bench.is_unsupported(&desk, &marks).await?;
    }
    Ok(())
}

async fn a_mark_is_stored(bench: &Bench) -> anyhow::Result<()> {
    is_stored(bench, Fixture::Mark, plain()).await
}

async fn comment_is_stored(bench: &Bench) -> anyhow::Result<()> {
    is_stored(bench, Fixture::Comment, commented()).await
}

async fn minutes_are_stored(bench: &Bench) -> anyhow::Result<()> {
    is_stored(bench, Fixture::MinutesLate, late()).await
}

async fn leaver_is_stored(bench: &Bench) -> anyhow::Result<()> {
    is_stored(bench, Fixture::EarlyLeaver, left()).await
}

async fn session_is_rejected(bench: &Bench) -> anyhow::Result<()> {
    is_rejected(bench, plain()).await?;
    let desk = bench.open().await?;
    outcome_is_unsupported(bench, &desk).await
}

async fn comment_is_rejected(bench: &Bench) -> anyhow::Result<()> {
    is_rejected(bench, commented()).await
}

async fn minutes_are_rejected(bench: &Bench) -> anyhow::Result<()> {
    is_rejected(bench, late()).await
}

async fn leaver_is_rejected(bench: &Bench) -> anyhow::Result<()> {
    is_rejected(bench, left()).await
}

/// Marks that use different declared abilities go in one request, in their order.
async fn a_register_is_one_request(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let mut marks = vec![
        plain(),
        standard::mark(BEN, Session::Am, "/"),
        standard::mark(DOT, Session::Pm, "U"),
    ];
    for (place, ability) in [Ability::Comment, Ability::MinutesLate, Ability::EarlyLeaver]
        .into_iter()
        .enumerate()
    {
        if let Some(mark) = marks.get_mut(place).filter(|_| bench.has(ability)) {
            with(mark, ability);
        }
    }
    bench.write_all(&desk, &marks).await?;
    let sent = bench.server.writes().len();
    ensure!(
        sent == 1,
        "{} marks of one school took {sent} requests; expected one",
        marks.len()
    );
    bench.is_in_register(&desk, WINTER, &marks).await
}

fn with(mark: &mut Mark, ability: Ability) {
    match ability {
        Ability::Comment => mark.comment = Some(COMMENT.to_owned()),
        Ability::MinutesLate => mark.minutes_late = Some(12),
        Ability::EarlyLeaver => mark.cause = EventKind::SignOut,
        Ability::Session | Ability::Roster => {}
    }
}

async fn overlong_is_rejected(bench: &Bench) -> anyhow::Result<()> {
    let Capabilities {
        comment_max: Some(most),
        ..
    } = bench.declared()
    else {
        bail!("the descriptor declares no maximum comment length");
    };
    let desk = bench.open().await?;
    let of = |length: u16| Mark {
        comment: Some("é".repeat(usize::from(length))),
        ..plain()
    };
    for who in WITH_AND_WITHOUT_GUARD {
        let outcome = desk.write(who, &[of(most + 1)]).await;
        let rejected = match &outcome {
            Err(error) => error.kind() == ErrorKind::InvalidMark,
            Ok(results) => {
                matches!(results.as_slice(), [MarkResult::Refused(error)] if error.kind() == ErrorKind::InvalidMark)
            }
        };
        ensure!(
            rejected,
            "{who} should reject a comment of {} characters, but returned {outcome:?}",
            most + 1
        );
        bench.is_silent(who)?;
    }
    bench.write_all(&desk, &[of(most)]).await?;
    Ok(())
}

async fn the_outcome_is_reported(bench: &Bench) -> anyhow::Result<()> {
    bench.fixtures.answers()?;
    let desk = bench.open().await?;
    let results = bench.write_all(&desk, &[plain()]).await?;
    let Some(MarkResult::Accepted(accepted)) = results.into_iter().next() else {
        bail!("the mark was accepted without a receipt");
    };
    for plan in [
        Outcome::Open,
        Outcome::Done,
        Outcome::Rejected,
        Outcome::Unheard,
        Outcome::InPart,
        Outcome::InDoubt,
    ] {
        bench.server.world().settle(plan);
        let reported = desk
            .mis
            .outcome(&accepted.receipt)
            .await
            .context("the outcome cannot be read")?;
        let right = match plan {
            Outcome::Done => matches!(reported, WritebackOutcome::Done),
            Outcome::Rejected => matches!(reported, WritebackOutcome::Refused { .. }),
            // An unknown status does not settle the writeback.
            Outcome::Open | Outcome::Unheard => matches!(reported, WritebackOutcome::Open { .. }),
            Outcome::InPart => matches!(
                &reported,
                WritebackOutcome::DoneInPart { refused, .. } if refused.iter().any(|mark| mark.is(&plain().student, 0))
            ),
            Outcome::InDoubt => matches!(
                reported,
                WritebackOutcome::Open { .. }
                    | WritebackOutcome::DoneInPart {
                        others_done: false,
                        ..
                    }
            ),
        };
        ensure!(
            right,
            "the MIS reports {plan:?}, but the adapter returned {reported:?}"
        );
    }
    Ok(())
}

async fn an_unknown_writeback(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    match desk.mis.outcome(&Receipt::new("W199999999")).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => bail!("an unknown writeback should return `NotFound`, but returned {other:?}"),
    }
}
