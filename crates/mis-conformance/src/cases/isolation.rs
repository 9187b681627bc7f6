//! Cancelled calls and concurrent calls do not affect other calls.

use anyhow::{Context as _, bail, ensure};
use futures::future::join_all;
use mis_wonde::{Ability, EventKind, Mark, Session};
use serde_json::Value;

use std::time::Duration;

use super::{cases, everybody, writers};
use crate::{
    bench::{Bench, Opening},
    server::{On, Plan, Trouble},
    standard::{self, ADA, BEN, DOT, WINTER},
};

cases! {
    Fault Some(Ability::Session), "cancel::a_cancelled_write_does_not_affect_the_next", writers => cancelled;
    Positive Some(Ability::Session), "schools::do_not_mix_when_writing", writers => schools_writing;
    Positive None, "schools::do_not_mix_when_reading", everybody => schools_reading;
    Positive Some(Ability::Session), "calls::concurrent_writes_do_not_mix", writers => concurrent_writes;
}

/// The most requests that a write takes.
const STEPS: usize = 60;

/// Cancels a write during its first request, then during its second, and so on to the last. Each time, the next call
/// must behave as if there had been no other.
async fn cancelled(bench: &Bench) -> anyhow::Result<()> {
    for step in 0..STEPS {
        bench.server.world().unwrite();
        let desk = bench.open().await?;
        bench.server.plan(Plan::once_after(
            step,
            On::Any,
            Trouble::Stall { applied: false },
        ));
        let cancelled = [
            standard::mark(ADA, Session::Am, "L"),
            standard::mark(DOT, Session::Pm, "U"),
        ];
        let finished = tokio::select! {
            results = desk.mis.write(&cancelled) => Some(results),
            () = bench.server.until(step + 1) => None,
        };
        if let Some(results) = finished {
            results
                .map_err(|error| anyhow::anyhow!("a write without a fault failed: {error:?}"))?;
            ensure!(step > 0, "the write finished before its first request");
            return Ok(());
        }
        bench.server.forget();
        let own = [standard::mark(BEN, Session::Am, "M")];
        let after = bench.write_all(&desk, &own);
        let after = tokio::time::timeout(Duration::from_secs(5), after)
            .await
            .with_context(|| {
                format!(
                    "after a write was cancelled at request {}, the next call hangs",
                    step + 1
                )
            })?;
        after.with_context(|| format!("after a write was cancelled at request {}", step + 1))?;
        let students = students_sent(bench);
        let expected: Vec<String> = own.iter().map(|mark| mark.student.to_string()).collect();
        ensure!(
            students == expected,
            "after a write was cancelled at request {}, the next sent marks of {students:?} instead of {expected:?}",
            step + 1
        );
    }
    bail!("a write of two marks takes more than {STEPS} requests")
}

/// The pupils whose marks were sent, in order.
fn students_sent(bench: &Bench) -> Vec<String> {
    let mut students = Vec::new();
    for body in bench.server.writes().iter().filter_map(|seen| seen.json()) {
        let rows = body
            .get("attendance")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        students.extend(
            rows.iter()
                .filter_map(|row| row.get("student_id"))
                .filter_map(Value::as_str)
                .map(str::to_owned),
        );
    }
    students
}

/// Delays responses so that all calls overlap.
fn slowly(bench: &Bench) {
    bench.server.forget();
    bench.server.plan(Plan::always(
        On::Any,
        Trouble::Slow(Duration::from_millis(15)),
    ));
}

/// Checks that each request carries its own school's token.
fn tokens_are_right(bench: &Bench) -> anyhow::Result<()> {
    for seen in bench.server.seen() {
        let own = seen.school().map(standard::token);
        ensure!(
            own.is_none() || seen.token == own,
            "{} {} was sent with another school's token",
            seen.method,
            seen.path
        );
    }
    Ok(())
}

async fn schools_writing(bench: &Bench) -> anyhow::Result<()> {
    let desks = [
        bench.open_with(1, Opening::default()).await?,
        bench.open_with(2, Opening::default()).await?,
    ];
    slowly(bench);
    for (round, letters) in ["L", "U", "M"].into_iter().enumerate() {
        let writes = [1, 2]
            .into_iter()
            .zip(&desks)
            .map(|(school, desk)| async move {
                let marks = [ADA, BEN, DOT]
                    .map(|pupil| standard::mark_at(school, pupil, WINTER, Session::Pm, letters));
                bench
                    .write_all(desk, &marks)
                    .await
                    .with_context(|| format!("at school {school}"))
            });
        for written in join_all(writes).await {
            written.with_context(|| format!("two schools concurrently, round {}", round + 1))?;
        }
    }
    tokens_are_right(bench)
}

async fn schools_reading(bench: &Bench) -> anyhow::Result<()> {
    let desks = [
        bench.open_with(1, Opening::default()).await?,
        bench.open_with(2, Opening::default()).await?,
    ];
    slowly(bench);
    let reads = [1_u8, 2]
        .into_iter()
        .zip(&desks)
        .map(|(school, desk)| async move {
            let own = |id: &str| id.starts_with(&format!("A{school}"));
            let book = desk.mis.code_book().await?;
            let codes = book
                .iter()
                .filter_map(|line| line.id.as_ref())
                .all(|id| own(id.as_str()));
            ensure!(
                codes,
                "the code book of school {school} contains ids of another school"
            );
            let register = desk.mis.register(WINTER).await?;
            ensure!(
                register.iter().all(|held| own(held.student.as_str())),
                "the register of school {school} contains pupils of another school"
            );
            let lessons = desk.mis.lessons(WINTER).await?;
            ensure!(
                lessons.iter().all(|lesson| own(lesson.id.as_str())),
                "the lessons of school {school} contain another school's"
            );
            Ok(())
        });
    for read in join_all(reads).await {
        read?;
    }
    tokens_are_right(bench)
}

async fn concurrent_writes(bench: &Bench) -> anyhow::Result<()> {
    let desk = &bench.open().await?;
    slowly(bench);
    let mut one = standard::mark(ADA, Session::Am, "L");
    let mut other = standard::mark(BEN, Session::Am, "M");
    for (place, mark) in [&mut one, &mut other].into_iter().enumerate() {
        mark.comment = bench
            .has(Ability::Comment)
            .then(|| format!("Comment {place}"));
        mark.minutes_late = bench.has(Ability::MinutesLate).then_some(place as u32 + 1);
        mark.cause = EventKind::SignIn;
    }
    let calls: [Vec<Mark>; 3] = [
        vec![one],
        vec![other],
        vec![standard::mark(DOT, Session::Pm, "U")],
    ];
    for written in join_all(calls.iter().map(|marks| bench.write_all(desk, marks))).await {
        written.context("three concurrent calls")?;
    }
    let sent = students_sent(bench);
    ensure!(
        sent.len() == 3,
        "three marks were written in three calls, but {} were sent",
        sent.len()
    );
    Ok(())
}
