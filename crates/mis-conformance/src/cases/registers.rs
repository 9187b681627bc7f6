//! Registers as a whole: empty, split because of a bad mark, or split because they are too large.

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
    Negative Some(Ability::Session), "register::an_empty_register_sends_nothing", writers => empty;
    Fault Some(Ability::Session), "register::a_rejected_register_is_split_to_isolate_bad_marks", writers => split;
    Positive Some(Ability::Session), "register::a_large_register_is_sent_in_parts", writers => in_parts;
    Fault Some(Ability::Session), "register::unsent_marks_are_reported_as_unsent", writers => unsent;
}

async fn empty(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for who in WITH_AND_WITHOUT_GUARD {
        match desk.write(who, &[]).await {
            Ok(results) if results.is_empty() => bench.is_silent(who)?,
            other => bail!("{who} should return no results for no marks, but returned {other:?}"),
        }
    }
    Ok(())
}

/// Marks of pupils who have lessons in the morning and in the afternoon.
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
                    "the marks at {bad:?} of {many} are bad, but the result at {place} is {other:?}"
                ),
            }
        }
        let sent = bench.server.writes().len();
        // Splitting in halves takes at most two requests per mark. A first-lesson adapter may send a rejected mark once
        // more after it has read the timetable again.
        let most = 2 * many + bad.len();
        ensure!(
            sent <= most,
            "{many} marks with {} bad ones took {sent} requests; expected at most {most}",
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

async fn in_parts(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open_large(2 * REGISTER_MAX + 1).await?;
    let marks = marks(2 * REGISTER_MAX + 1);
    bench.write_all(&desk, &marks).await?;
    let sizes = sizes(bench);
    ensure!(
        sizes.len() == 3 && sizes.iter().all(|size| *size <= REGISTER_MAX),
        "{} marks should be sent in 3 requests of at most {REGISTER_MAX}, but were sent in requests of {sizes:?}",
        marks.len()
    );
    Ok(())
}

/// The first part is accepted, the result of the second is unknown, and the third is not sent.
async fn unsent(bench: &Bench) -> anyhow::Result<()> {
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
            // An adapter may continue after a failure, but its results must be true.
            (_, MarkResult::Accepted(_)) => place / REGISTER_MAX == 2,
            (2, MarkResult::Failed(error)) => {
                matches!(error.recovery(), Recovery::Retry | Recovery::RetryAfter(_))
            }
            _ => false,
        };
        ensure!(
            right,
            "the first {REGISTER_MAX} marks were accepted, the next have an unknown result, and the last were not sent; but the result at {place} is {result:?}"
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
    /// Opens the adapter at a school with this many pupils who have lessons.
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
