//! MISs that store a session's mark on the pupil's first lesson in the session.

use anyhow::{Context as _, bail, ensure};
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use mis_wonde::{Ability, ErrorKind, Mark, MarkResult, Recovery, Session};

use super::{cases, on_first_lessons};
use crate::{
    bench::{Bench, Desk, Opening},
    server::Place,
    standard::{self, ADA, BEN, CEM, CalledOff, DOT, EVE, SUMMER, WINTER},
    verdict::is_error,
};

cases! {
    Positive Some(Ability::Session), "first_lesson::holds_the_mark", on_first_lessons => holds_the_mark;
    Positive Some(Ability::Session), "first_lesson::is_found_by_the_schools_clock", on_first_lessons => by_the_schools_clock;
    Positive Some(Ability::Session), "first_lesson::follows_the_configured_sessions", on_first_lessons => configured_sessions;
    Positive Some(Ability::Session), "first_lesson::a_cancelled_lesson_is_skipped", on_first_lessons => cancelled;
    Negative Some(Ability::Session), "first_lesson::a_pupil_without_lessons_is_rejected", on_first_lessons => without_lesson;
    Positive Some(Ability::Session), "first_lesson::the_timetable_is_cached", on_first_lessons => cached;
    Fault Some(Ability::Session), "first_lesson::the_timetable_is_read_again_after_a_rejection", on_first_lessons => renewed;
}

/// Writes a mark for each pupil and session, and checks which lessons they are on.
async fn is_on_first_lessons(
    bench: &Bench,
    desk: &Desk,
    zone: Tz,
    date: NaiveDate,
) -> anyhow::Result<()> {
    let marks: Vec<Mark> = [ADA, BEN, DOT, EVE]
        .into_iter()
        .flat_map(|pupil| [(pupil, Session::Am, "L"), (pupil, Session::Pm, "U")])
        .map(|(pupil, session, code)| standard::mark_at(1, pupil, date, session, code))
        .collect();
    bench.write_all(desk, &marks).await?;
    let lessons = standard::lessons(1, zone);
    for (place, mark) in marks.iter().enumerate() {
        let pupil = [ADA, BEN, DOT, EVE]
            .get(place / 2)
            .copied()
            .unwrap_or_default();
        let first = standard::first_lesson(&lessons, pupil, date, mark.session)
            .context("a pupil of the standard school has no lesson")?;
        let world = bench.server.world();
        let kept = world
            .written_of(&mark.student, date, mark.session)
            .context("the mark is not stored")?;
        ensure!(
            kept.place == Place::Lesson(first.id.clone()),
            "the first lesson for {mark:?} in {zone} is {} at {}, but the mark is on {:?}",
            first.id,
            first.starts,
            kept.place
        );
    }
    bench.is_in_register(desk, date, &marks).await
}

async fn holds_the_mark(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    is_on_first_lessons(bench, &desk, Tz::Europe__London, WINTER).await
}

async fn by_the_schools_clock(bench: &Bench) -> anyhow::Result<()> {
    for (zone, date) in [
        (Tz::Europe__London, SUMMER),
        (Tz::Australia__Sydney, WINTER),
    ] {
        bench.move_school(zone, date);
        let desk = bench.open().await?;
        is_on_first_lessons(bench, &desk, zone, date)
            .await
            .with_context(|| format!("on {date} in {zone}"))?;
    }
    Ok(())
}

/// The morning begins after history, and the afternoon begins during band practice, so band practice counts as morning.
async fn configured_sessions(bench: &Bench) -> anyhow::Result<()> {
    let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    let opening = Opening {
        sessions: Some([time(9, 50), time(13, 0)]),
        ..Opening::default()
    };
    let desk = bench.open_with(1, opening).await?;
    let lessons = standard::lessons(1, Tz::Europe__London);
    for (pupil, session, starts) in [
        (ADA, Session::Am, time(10, 0)),
        (DOT, Session::Am, time(10, 0)),
        (DOT, Session::Pm, time(13, 30)),
    ] {
        let results = bench
            .write(&desk, &[standard::mark(pupil, session, "L")])
            .await?;
        let [MarkResult::Accepted(accepted)] = results.as_slice() else {
            bail!("the mark should be accepted, but the results are {results:?}");
        };
        let lesson = accepted.lesson.as_ref();
        let holds = lessons
            .iter()
            .find(|one| lesson.is_some_and(|lesson| lesson.as_str() == one.id))
            .map(|one| one.starts.time());
        ensure!(
            holds == Some(starts),
            "the first lesson of {session} for pupil {pupil} begins at {starts}, but the mark is on the one at {holds:?}"
        );
    }
    Ok(())
}

/// If a lesson's row shows that it takes no marks, they go to the next lesson without a trial request.
async fn cancelled(bench: &Bench) -> anyhow::Result<()> {
    for way in [
        CalledOff::Cancelled,
        CalledOff::Status,
        CalledOff::Unregistered,
    ] {
        bench.server.world().unwrite();
        bench.move_school(Tz::Europe__London, WINTER);
        let next = {
            let mut world = bench.server.world();
            let lessons = world
                .schools
                .get_mut(&1)
                .map(|school| &mut school.lessons)
                .context("school 1 is missing")?;
            let first = standard::first_lesson(lessons, ADA, WINTER, Session::Am)
                .map(|lesson| lesson.id.clone());
            for lesson in lessons
                .iter_mut()
                .filter(|lesson| Some(&lesson.id) == first.as_ref())
            {
                lesson.called_off = Some(way);
            }
            standard::first_lesson(lessons, ADA, WINTER, Session::Am)
                .map(|lesson| lesson.id.clone())
                .context("Ada has no second lesson")?
        };
        let desk = bench.open().await?;
        let mark = standard::mark(ADA, Session::Am, "L");
        bench
            .write_all(&desk, std::slice::from_ref(&mark))
            .await
            .with_context(|| format!("after a lesson marked as {way:?}"))?;
        let world = bench.server.world();
        let kept = world
            .written_of(&mark.student, WINTER, Session::Am)
            .context("the mark is not stored")?;
        ensure!(
            kept.place == Place::Lesson(next.clone()),
            "the mark should be on {next}, but is on {:?}",
            kept.place
        );
        ensure!(
            world.written().count() == 1,
            "more than one mark was written"
        );
    }
    Ok(())
}

async fn without_lesson(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let marks = [
        standard::mark(CEM, Session::Am, "L"),
        standard::mark(CEM, Session::Pm, "L"),
        standard::mark(ADA, Session::Am, "L"),
    ];
    // The second time the timetable is cached, and may have changed.
    for time in ["at first", "a minute later"] {
        bench.server.forget();
        let results = bench.write(&desk, &marks).await?;
        let [
            MarkResult::Refused(error),
            MarkResult::Accepted(_),
            MarkResult::Accepted(_),
        ] = results.as_slice()
        else {
            bail!(
                "{time}, only Cem's morning mark should be rejected, but the results are {results:?}"
            );
        };
        is_error(error, ErrorKind::NoLesson, &[Recovery::Never])?;
        let reads = bench.timetable_reads();
        ensure!(
            reads <= 2,
            "{time}, the timetable was read {reads} times for one pupil without a lesson; expected at most twice"
        );
        bench.server.pass(TimeDelta::minutes(1));
    }
    Ok(())
}

async fn cached(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    bench
        .write_all(&desk, &[standard::mark(ADA, Session::Am, "L")])
        .await?;
    ensure!(
        bench.timetable_reads() == 1,
        "the timetable was read {} times for one mark; expected once",
        bench.timetable_reads()
    );
    bench.server.forget();
    bench.server.pass(TimeDelta::minutes(5));
    bench
        .write_all(
            &desk,
            &[
                standard::mark(BEN, Session::Am, "L"),
                standard::mark(ADA, Session::Pm, "\\"),
            ],
        )
        .await?;
    ensure!(
        bench.timetable_reads() == 0,
        "the timetable of the day was read again for later marks"
    );
    Ok(())
}

/// A lesson is cancelled after the timetable was read.
async fn renewed(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    bench
        .write_all(
            &desk,
            &[
                standard::mark(ADA, Session::Am, "L"),
                standard::mark(BEN, Session::Am, "L"),
            ],
        )
        .await?;
    bench.server.pass(TimeDelta::minutes(5));
    bench.server.forget();
    {
        let mut world = bench.server.world();
        world.unwrite();
        let lessons = world
            .schools
            .get_mut(&1)
            .map(|school| &mut school.lessons)
            .context("school 1 is missing")?;
        let first = standard::first_lesson(lessons, ADA, WINTER, Session::Am)
            .map(|lesson| lesson.id.clone());
        lessons.retain(|lesson| Some(&lesson.id) != first.as_ref());
    }
    let marks = [
        standard::mark(ADA, Session::Am, "M"),
        standard::mark(BEN, Session::Am, "M"),
    ];
    let results = bench
        .write_all(&desk, &marks)
        .await
        .context("the mark should go to the next lesson after the first one is cancelled")?;
    let lessons = standard::lessons(1, Tz::Europe__London);
    let next =
        standard::first_lesson(&lessons, BEN, WINTER, Session::Am).context("Ben has no lesson")?;
    for result in results {
        let MarkResult::Accepted(accepted) = result else {
            continue;
        };
        ensure!(
            accepted
                .lesson
                .as_ref()
                .is_some_and(|lesson| lesson.as_str() == next.id),
            "the mark should be on {}, but is on {:?}",
            next.id,
            accepted.lesson
        );
    }
    let reads = bench.timetable_reads();
    ensure!(
        reads == 1,
        "after the rejection the timetable was read {reads} times; expected once"
    );
    Ok(())
}

impl Bench {
    /// How often the day's lessons were read, counted by first pages.
    fn timetable_reads(&self) -> usize {
        self.first_pages("/lessons")
    }
}
