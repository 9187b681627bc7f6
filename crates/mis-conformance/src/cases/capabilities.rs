//! What holds for one school: never more than declared, and nothing where the school or the operator says no.

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
    Positive None, "capabilities::are_whole_where_all_is_granted", everybody => whole;
    Negative Some(Ability::Session), "capabilities::a_plain_no_of_the_school_ends_writing", writers => a_plain_no;
    Negative None, "capabilities::the_operator_takes_abilities_away", writers => taken_away;
}

const ANSWERS: [Option<bool>; 3] = [None, Some(true), Some(false)];
/// More than any MIS can.
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
        // Each of the five abilities in or out.
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
                "the operator narrows to {narrow_to:?}, and the adapter says {:?}",
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
            "{who} says {effective:?}, which is more than the declared {:?}",
            bench.declared()
        );
    }
    Ok(())
}

async fn whole(bench: &Bench) -> anyhow::Result<()> {
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
            "nothing was taken away, and of {:?} there remains {:?}",
            bench.declared(),
            desk.mis.capabilities()
        );
    }
    Ok(())
}

async fn a_plain_no(bench: &Bench) -> anyhow::Result<()> {
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
            "the school says no ({grants:?}), and the adapter would write"
        );
        bench
            .is_unsupported(&desk, &[standard::mark(ADA, Session::Am, "L")])
            .await?;
    }
    Ok(())
}

async fn taken_away(bench: &Bench) -> anyhow::Result<()> {
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
            "the operator took `{ability}` away, and the adapter still claims it"
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
            // What is left still works.
            bench.write_all(&desk, &[plain()]).await?;
        }
    }
    Ok(())
}

/// Keeps an outcome from being asked of an MIS that has none.
pub(super) async fn outcome_is_unsupported(bench: &Bench, desk: &Desk) -> anyhow::Result<()> {
    let id = Receipt::new("W100000001");
    let told = |outcome: mis_wonde::Result<WritebackOutcome>| {
        outcome
            .is_err_and(|error| error.kind() == mis_wonde::ErrorKind::Unsupported(Ability::Session))
    };
    ensure!(
        told(desk.mis.outcome(&id).await),
        "the guard asked for an outcome where nothing can be written"
    );
    ensure!(
        told(desk.raw.outcome(&id).await),
        "the adapter asked for an outcome where nothing can be written"
    );
    bench.is_silent("asking for an outcome")
}
