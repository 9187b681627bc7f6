//! The plain way, as in many sign-in systems: reads the register for each event, then posts one mark.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mis_wonde::wonde::{
    AttendanceCodeId, AttendanceQuery, SchoolClient, Session, SessionMark, StudentId,
};
use wonde_sandbox::RequestCounts;

use super::stage::Stage;

/// Events processed concurrently: a common size for a worker pool.
const WORKERS: usize = 16;
/// Events of one run.
const EVENTS: usize = 640;

/// The results of the plain way.
pub(super) struct Plain {
    pub(super) events: usize,
    pub(super) took: Duration,
    pub(super) requests: RequestCounts,
}

/// Writes marks of one school the plain way, at its best: only changes of the register since the
/// start of the day are read, the codes are known in advance, nothing is stored, and outcomes are not polled.
pub(super) async fn measure(stage: &Stage) -> anyhow::Result<Plain> {
    let school = stage.schools.first().context("there is no school")?;
    let at = stage.client(&school.id)?;
    let present = stage.code(&school.id, "\\").await?;
    let pupils: Vec<_> = school.pupils.iter().take(EVENTS).collect();
    let events = pupils.len();
    stage.sandbox.reset_requests();
    let begin = Instant::now();
    stream::iter(pupils)
        .map(|pupil| one(stage, &at, pupil, &present))
        .buffer_unordered(WORKERS)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(Plain {
        events,
        took: begin.elapsed(),
        requests: stage.sandbox.requests(),
    })
}

async fn one(
    stage: &Stage,
    at: &SchoolClient,
    pupil: &str,
    code: &AttendanceCodeId,
) -> anyhow::Result<()> {
    let pupil = StudentId::from(pupil);
    let query = AttendanceQuery {
        updated_after: Some(stage.day_began()),
        ..AttendanceQuery::default()
    };
    let register: Vec<_> = at.session_attendance(query).try_collect().await?;
    let held = register.iter().any(|row| {
        row.date == Some(stage.date)
            && row.session == Some(Session::Pm)
            && row.student_id().as_ref() == Some(&pupil)
    });
    // Whether a mark stands above what is held is not this measurement's question: it is written in any case.
    let _ = held;
    at.write_session_attendance(&[SessionMark {
        student_id: pupil,
        date: stage.date,
        session: Session::Pm,
        attendance_code_id: code.clone(),
        comment: None,
        minutes_late: None,
        employee_id: None,
    }])
    .await?;
    Ok(())
}
