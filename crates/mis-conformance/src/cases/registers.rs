//! Registers as a whole: nothing for nothing, split where one mark is bad, cut where there are too many.

use anyhow::{bail, ensure};
use mis_wonde::{
    Ability, ErrorKind, Mark, MarkResult, Recovery, Session, strategies::REGISTER_MAX,
};
use serde_json::Value;

use super::{cases, writers};
use crate::{
    answer::Answer,
    bench::{Bench, WITH_AND_WITHOUT_GUARD},
    server::{On, Plan, Trouble},
    standard::{self, EVE, PUPILS},
    verdict::is_error,
};

cases! {
    Negative Some(Ability::Session), "register::without_marks_sends_nothing", writers => empty;
    Fault Some(Ability::Session), "register::refused_is_split_until_the_bad_mark_stands_alone", writers => split;
    Positive Some(Ability::Session), "register::above_the_limit_is_cut", writers => cut;
    Fault Some(Ability::Session), "register::what_was_never_sent_is_told_apart", writers => never_sent;
}

async fn empty(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for who in WITH_AND_WITHOUT_GUARD {
        match desk.write(who, &[]).await {
            Ok(results) if results.is_empty() => bench.is_silent(who)?,
            other => bail!("{who} was given no marks and answers {other:?}"),
        }
    }
    Ok(())
}

/// Marks of the pupils who have first lessons morning and afternoon.
fn marks(pupils: usize) -> Vec<Mark> {
    (0..pupils)
        .map(|n| standard::mark(EVE + n, Session::Am, "L"))
        .collect()
}

async fn split(bench: &Bench) -> anyhow::Result<()> {
    let many = PUPILS - EVE + 1;
    for bad in [vec![0], vec![many - 1], vec![2, 3], (0..many).collect()] {
        let desk = bench.open().await?;
        let mut marks = marks(many);
        for place in &bad {
            if let Some(mark) = marks.get_mut(*place) {
                bench.server.world().expel(&mark.student);
                mark.code = "U".into();
            }
        }
        let results = bench.write(&desk, &marks).await?;
        for (place, result) in results.iter().enumerate() {
            match result {
                MarkResult::Refused(error) if bad.contains(&place) => {
                    is_error(error, ErrorKind::Refused, &[Recovery::Never])?
                }
                MarkResult::Accepted(_) if !bad.contains(&place) => {}
                other => bail!(
                    "of {many} marks those at {bad:?} are bad, and the one at {place} is {other:?}"
                ),
            }
        }
        let sent = bench.server.writes().len();
        // Halving takes two requests for each halving of each bad mark at most; a first-lesson adapter may try a
        // refused mark once more on a renewed timetable.
        let most = 2 * many + bad.len();
        ensure!(
            sent <= most,
            "{many} marks with {} bad ones took {sent} requests; at most {most} are needed",
            bad.len()
        );
        ensure!(
            bench.server.world().written().all(|kept| kept.times == 1),
            "a good mark was written more than once while the register was split"
        );
        bench.server.world().unwrite();
    }
    Ok(())
}

async fn cut(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open_large(2 * REGISTER_MAX + 1).await?;
    let marks = marks(2 * REGISTER_MAX + 1);
    bench.write_all(&desk, &marks).await?;
    let sizes = sizes(bench);
    ensure!(
        sizes.len() == 3 && sizes.iter().all(|size| *size <= REGISTER_MAX),
        "{} marks should go in 3 requests of {REGISTER_MAX} at most, not in requests of {sizes:?}",
        marks.len()
    );
    Ok(())
}

/// The first part goes through, nobody knows of the second, the third was never sent.
async fn never_sent(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open_large(2 * REGISTER_MAX + 1).await?;
    let marks = marks(2 * REGISTER_MAX + 1);
    let failed = Answer::json(500, serde_json::json!({"error": "server_error"}));
    bench.server.plan(Plan::once_after(
        1,
        On::Write,
        Trouble::Answer {
            answer: failed,
            applied: true,
        },
    ));
    let results = bench.write(&desk, &marks).await?;
    for (place, result) in results.iter().enumerate() {
        let right = match (place / REGISTER_MAX, result) {
            (0, MarkResult::Accepted(_)) => true,
            (1, MarkResult::Failed(error)) => error.recovery() == Recovery::Unknown,
            // Whether an adapter goes on after a failure is its own affair; what it says must be so.
            (_, MarkResult::Accepted(_)) => place / REGISTER_MAX == 2,
            (2, MarkResult::Failed(error)) => {
                matches!(error.recovery(), Recovery::Retry | Recovery::RetryAfter(_))
            }
            _ => false,
        };
        ensure!(
            right,
            "the first {REGISTER_MAX} marks went through, of the next nobody knows, the last were not sent; the one at {place} is {result:?}"
        );
    }
    Ok(())
}

/// How many marks were in each request.
fn sizes(bench: &Bench) -> Vec<usize> {
    let rows = |body: Value| {
        body.get("attendance")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    bench
        .server
        .writes()
        .iter()
        .filter_map(|seen| seen.json())
        .map(rows)
        .collect()
}

impl Bench {
    /// The adapter at a school with so many pupils who have lessons.
    async fn open_large(&self, pupils: usize) -> anyhow::Result<crate::bench::Desk> {
        {
            let mut world = self.server.world();
            world.page = 200;
            if let Some(school) = world.schools.get_mut(&1) {
                school.pupils = EVE + pupils;
            }
        }
        self.open().await
    }
}
