//! Each ability: where it is declared it works, on the wire just as the fixture has it; where not, nothing is sent.

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
    Positive Some(Ability::Session), "session::a_mark_is_kept", writers => a_mark_is_kept;
    Positive Some(Ability::Session), "session::a_register_goes_as_one_request", writers => a_register_goes_as_one;
    Positive Some(Ability::Session), "session::the_outcome_is_told", writers => the_outcome_is_told;
    Negative Some(Ability::Session), "session::an_unknown_writeback_is_not_found", writers => an_unknown_writeback;
    Negative Some(Ability::Session), "session::is_refused_without_a_request", readers_only => session_is_refused;
    Positive Some(Ability::Comment), "comment::is_kept", |can| can.comment => comment_is_kept;
    Negative Some(Ability::Comment), "comment::is_refused_without_a_request", |can| !can.comment => comment_is_refused;
    Negative Some(Ability::Comment), "comment::too_long_is_refused_without_a_request", |can| can.comment_max.is_some() => overlong_is_refused;
    Positive Some(Ability::MinutesLate), "minutes_late::are_kept", |can| can.minutes_late => minutes_are_kept;
    Negative Some(Ability::MinutesLate), "minutes_late::are_refused_without_a_request", |can| !can.minutes_late => minutes_are_refused;
    Positive Some(Ability::EarlyLeaver), "early_leaver::is_kept", |can| can.early_leaver => leaver_is_kept;
    Negative Some(Ability::EarlyLeaver), "early_leaver::is_refused_without_a_request", |can| !can.early_leaver => leaver_is_refused;
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

/// Written, on the wire as the fixture has it, and found in the register.
async fn is_kept(bench: &Bench, fixture: Fixture, mark: Mark) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let marks = [mark];
    bench.write_all(&desk, &marks).await?;
    bench.sent_as(fixture)?;
    bench.is_in_register(&desk, WINTER, &marks).await
}

async fn is_refused(bench: &Bench, mark: Mark) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    // A mark that could be written does not carry the other along.
    for marks in [
        vec![mark.clone()],
        vec![standard::mark(BEN, Session::Pm, "\\"), mark],
    ] {
        bench.is_unsupported(&desk, &marks).await?;
    }
    Ok(())
}

async fn a_mark_is_kept(bench: &Bench) -> anyhow::Result<()> {
    is_kept(bench, Fixture::Mark, plain()).await
}

async fn comment_is_kept(bench: &Bench) -> anyhow::Result<()> {
    is_kept(bench, Fixture::Comment, commented()).await
}

async fn minutes_are_kept(bench: &Bench) -> anyhow::Result<()> {
    is_kept(bench, Fixture::MinutesLate, late()).await
}

async fn leaver_is_kept(bench: &Bench) -> anyhow::Result<()> {
    is_kept(bench, Fixture::EarlyLeaver, left()).await
}

async fn session_is_refused(bench: &Bench) -> anyhow::Result<()> {
    is_refused(bench, plain()).await?;
    let desk = bench.open().await?;
    outcome_is_unsupported(bench, &desk).await
}

async fn comment_is_refused(bench: &Bench) -> anyhow::Result<()> {
    is_refused(bench, commented()).await
}

async fn minutes_are_refused(bench: &Bench) -> anyhow::Result<()> {
    is_refused(bench, late()).await
}

async fn leaver_is_refused(bench: &Bench) -> anyhow::Result<()> {
    is_refused(bench, left()).await
}

/// Marks with all that is declared, each with something else, in one request and in their order.
async fn a_register_goes_as_one(bench: &Bench) -> anyhow::Result<()> {
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
        "{} marks of one school took {sent} requests; one is enough",
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

async fn overlong_is_refused(bench: &Bench) -> anyhow::Result<()> {
    let Capabilities {
        comment_max: Some(most),
        ..
    } = bench.declared()
    else {
        bail!("there is no longest comment");
    };
    let desk = bench.open().await?;
    let of = |length: u16| Mark {
        comment: Some("é".repeat(usize::from(length))),
        ..plain()
    };
    for who in WITH_AND_WITHOUT_GUARD {
        let outcome = desk.write(who, &[of(most + 1)]).await;
        let refused = match &outcome {
            Err(error) => error.kind() == ErrorKind::InvalidMark,
            Ok(results) => {
                matches!(results.as_slice(), [MarkResult::Refused(error)] if error.kind() == ErrorKind::InvalidMark)
            }
        };
        ensure!(
            refused,
            "{who} was given a comment of {} characters and answers {outcome:?}",
            most + 1
        );
        bench.is_silent(who)?;
    }
    bench.write_all(&desk, &[of(most)]).await?;
    Ok(())
}

async fn the_outcome_is_told(bench: &Bench) -> anyhow::Result<()> {
    bench.fixtures.answers()?;
    let desk = bench.open().await?;
    let results = bench.write_all(&desk, &[plain()]).await?;
    let Some(MarkResult::Accepted(accepted)) = results.into_iter().next() else {
        bail!("there is no receipt to ask about");
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
        let told = desk
            .mis
            .outcome(&accepted.receipt)
            .await
            .context("the outcome cannot be asked for")?;
        let right = match plan {
            Outcome::Done => matches!(told, WritebackOutcome::Done),
            Outcome::Rejected => matches!(told, WritebackOutcome::Refused { .. }),
            // A word that nobody knows settles nothing.
            Outcome::Open | Outcome::Unheard => matches!(told, WritebackOutcome::Open { .. }),
            Outcome::InPart => matches!(
                &told,
                WritebackOutcome::DoneInPart { refused, .. } if refused.iter().any(|mark| mark.is(&plain().student, 0))
            ),
            Outcome::InDoubt => matches!(
                told,
                WritebackOutcome::Open { .. }
                    | WritebackOutcome::DoneInPart {
                        others_done: false,
                        ..
                    }
            ),
        };
        ensure!(
            right,
            "the MIS says {plan:?}, and the adapter tells {told:?}"
        );
    }
    Ok(())
}

async fn an_unknown_writeback(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    match desk.mis.outcome(&Receipt::new("W199999999")).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => bail!("a writeback that nobody knows should not be found, not {other:?}"),
    }
}
