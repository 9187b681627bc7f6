//! The capabilities at one school: never wider than declared, and narrowed by the school and the operator.

use anyhow::ensure;
use mis_wonde::{Ability, Capabilities, Receipt, Session, SessionWriteback, WritebackOutcome};

use super::{cases, everybody, writers};
use crate::{
    bench::{Bench, Desk, Opening},
    server::Grants,
    standard::{self, ADA},
};

cases! {
    Negative None, "capabilities::are_never_wider_than_declared", everybody => never_wider;
    Positive None, "capabilities::are_complete_if_everything_is_granted", everybody => complete;
    Negative Some(Ability::Session), "capabilities::a_school_that_denies_writing_receives_no_marks", writers => writing_denied;
    Negative None, "capabilities::the_operator_can_remove_abilities", writers => removed_by_operator;
}

const ANSWERS: [Option<bool>; 3] = [None, Some(true), Some(false)];
/// More than any MIS has.
const ALL: Capabilities = Capabilities::SESSION_MARKS
    .with(Ability::Comment)
    .with(Ability::MinutesLate)
    .with(Ability::EarlyLeaver);

async fn never_wider(bench: &Bench) -> anyhow::Result<()> {
    for grants in all_grants() {
        let desk = bench.open_granting(grants, Opening::default()).await?;
        is_subset(bench, &desk)?;
    }
    for places in [SessionWriteback::Session, SessionWriteback::FirstLesson] {
        // Every combination of the five abilities.
        for bits in 0..32_u8 {
            let kept = Ability::ALL
                .into_iter()
                .enumerate()
                .filter(|(place, _)| bits & (1 << place) == 0);
            let mut all = ALL;
            all.session = places;
            let narrow_to = kept.fold(all, |left, (_, ability)| left.without(ability));
            let desk = bench
                .open_with(
                    1,
                    Opening {
                        narrow_to: Some(narrow_to),
                        ..Opening::default()
                    },
                )
                .await?;
            is_subset(bench, &desk)?;
            ensure!(
                desk.raw.capabilities().is_subset_of(&narrow_to),
                "the operator narrows to {narrow_to:?}, but the adapter reports {:?}",
                desk.raw.capabilities()
            );
        }
    }
    Ok(())
}

fn all_grants() -> impl Iterator<Item = Grants> {
    let three = ANSWERS.into_iter().flat_map(|approved| {
        ANSWERS.into_iter().flat_map(move |allows_writeback| {
            ANSWERS.into_iter().map(move |attendance_write| Grants {
                approved,
                allows_writeback,
                attendance_write,
                hidden: false,
            })
        })
    });
    three.chain([Grants {
        hidden: true,
        ..Grants::default()
    }])
}

fn is_subset(bench: &Bench, desk: &Desk) -> anyhow::Result<()> {
    for (who, effective) in [
        ("the adapter", desk.raw.capabilities()),
        ("the guard", desk.mis.capabilities()),
    ] {
        ensure!(
            effective.is_subset_of(&bench.declared()),
            "{who} reports {effective:?}, which is wider than the declared {:?}",
            bench.declared()
        );
    }
    Ok(())
}

async fn complete(bench: &Bench) -> anyhow::Result<()> {
    let granted = Some(true);
    let everything = Grants {
        approved: granted,
        allows_writeback: granted,
        attendance_write: granted,
        hidden: false,
    };
    for grants in [
        everything,
        Grants::default(),
        Grants {
            hidden: true,
            ..Grants::default()
        },
    ] {
        let desk = bench.open_granting(grants, Opening::default()).await?;
        ensure!(
            desk.mis.capabilities() == bench.declared(),
            "nothing was removed from {:?}, but the adapter reports {:?}",
            bench.declared(),
            desk.mis.capabilities()
        );
    }
    Ok(())
}

async fn writing_denied(bench: &Bench) -> anyhow::Result<()> {
    let no = Some(false);
    for grants in [
        Grants {
            approved: no,
            ..Grants::default()
        },
        Grants {
            allows_writeback: no,
            ..Grants::default()
        },
        Grants {
            attendance_write: no,
            ..Grants::default()
        },
    ] {
        let desk = bench.open_granting(grants, Opening::default()).await?;
        ensure!(
            !desk.raw.capabilities().has(Ability::Session),
            "the school denies writing ({grants:?}), but the adapter still reports the ability"
        );
        bench
            .is_unsupported(&desk, &[standard::mark(ADA, Session::Am, "L")])
            .await?;
    }
    Ok(())
}

async fn removed_by_operator(bench: &Bench) -> anyhow::Result<()> {
    let plain = || standard::mark(ADA, Session::Am, "L");
    for ability in Ability::ALL
        .into_iter()
        .filter(|ability| bench.has(*ability))
    {
        let without = Opening {
            without: vec![ability],
            ..Opening::default()
        };
        let desk = bench.open_with(1, without).await?;
        ensure!(
            !desk.raw.capabilities().has(ability),
            "the operator removed `{ability}`, but the adapter still reports it"
        );
        let mut mark = plain();
        match ability {
            Ability::Session => {}
            Ability::Comment => mark.comment = Some(standard::COMMENT.to_owned()),
            Ability::MinutesLate => mark.minutes_late = Some(7),
            Ability::EarlyLeaver => mark.cause = mis_wonde::EventKind::SignOut,
            Ability::Roster => continue,
        }
        bench.is_unsupported(&desk, &[mark]).await?;
        if ability != Ability::Session {
            // The remaining abilities still work.
            bench.write_all(&desk, &[plain()]).await?;
        }
    }
    Ok(())
}

/// Checks that an outcome cannot be read from an MIS that is only read.
pub(super) async fn outcome_is_unsupported(bench: &Bench, desk: &Desk) -> anyhow::Result<()> {
    let id = Receipt::new("W100000001");
    let is_unsupported = |outcome: mis_wonde::Result<WritebackOutcome>| {
        outcome
            .is_err_and(|error| error.kind() == mis_wonde::ErrorKind::Unsupported(Ability::Session))
    };
    ensure!(
        is_unsupported(desk.mis.outcome(&id).await),
        "the guard should return `Unsupported` for the outcome of an MIS that is only read"
    );
    ensure!(
        is_unsupported(desk.raw.outcome(&id).await),
        "the adapter should return `Unsupported` for the outcome of an MIS that is only read"
    );
    bench.is_silent("reading an outcome")
}
