//! Failed requests return the right kind of error and the right recovery, and are sent only once.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::{TimeDelta, Utc};
use futures::TryStreamExt as _;
use mis_wonde::{
    Ability, Error, ErrorKind, MarkResult, PeopleQuery, PersonKind, Recovery, Session,
};
use serde_json::json;

use super::{cases, everybody, writers};
use crate::{
    answer::Answer,
    bench::{Bench, Desk},
    server::{On, Plan, Trouble},
    standard::{self, ADA, WINTER},
    verdict::is_error,
};

cases! {
    Fault Some(Ability::Session), "write_fault::401_is_unauthorized", writers => unauthorized;
    Fault Some(Ability::Session), "write_fault::403_is_forbidden", writers => forbidden;
    Fault Some(Ability::Session), "write_fault::404_is_not_found", writers => not_found;
    Fault Some(Ability::Session), "write_fault::422_is_rejected", writers => invalid;
    Fault Some(Ability::Session), "write_fault::429_reports_how_long_to_wait", writers => limited;
    Fault Some(Ability::Session), "write_fault::5xx_is_unknown", writers => failing;
    Fault Some(Ability::Session), "write_fault::503_can_be_retried", writers => overloaded;
    Fault Some(Ability::Session), "write_fault::time_out_is_unknown", writers => timed_out;
    Fault Some(Ability::Session), "write_fault::cut_connection_is_unknown", writers => cut_off;
    Fault Some(Ability::Session), "write_fault::malformed_response_is_unknown", writers => malformed;
    Fault None, "read_fault::each_status_has_its_error", everybody => reading_statuses;
    Fault None, "read_fault::time_out_and_cut_connection_can_be_retried", everybody => reading_cut_off;
    Fault None, "read_fault::malformed_response_is_a_decoding_error", everybody => reading_malformed;
}

fn error_response(status: u16) -> Answer {
    Answer::json(
        status,
        json!({"error": "some_error", "error_description": "Some words about it."}),
    )
}

/// Writes one mark while `trouble` lasts, and checks that it fails and was sent once.
async fn fails(bench: &Bench, desk: &Desk, trouble: Trouble) -> anyhow::Result<Error> {
    bench.server.forget();
    bench.server.world().unwrite();
    bench.server.plan(Plan::always(On::Write, trouble));
    let error = bench
        .write_failing(desk, standard::mark(ADA, Session::Am, "L"))
        .await?;
    let sent = bench.server.writes().len();
    ensure!(
        sent == 1,
        "the mark was sent {sent} times; the host decides whether to retry ({error:?})"
    );
    Ok(error)
}

/// Like [`fails`], with a response; `applied` says whether the MIS stored the mark.
async fn fails_with(
    bench: &Bench,
    answer: Answer,
    applied: bool,
    kind: ErrorKind,
    recoveries: &[Recovery],
) -> anyhow::Result<Error> {
    let desk = bench.open().await?;
    let error = fails(
        bench,
        &desk,
        Trouble::Answer {
            answer: answer.clone(),
            applied,
        },
    )
    .await?;
    is_error(&error, kind, recoveries).with_context(|| format!("after {answer:?}"))?;
    Ok(error)
}

async fn unauthorized(bench: &Bench) -> anyhow::Result<()> {
    fails_with(
        bench,
        error_response(401),
        false,
        ErrorKind::Unauthorized,
        &[Recovery::Never],
    )
    .await
    .map(drop)
}

async fn forbidden(bench: &Bench) -> anyhow::Result<()> {
    fails_with(
        bench,
        error_response(403),
        false,
        ErrorKind::Forbidden,
        &[Recovery::Never],
    )
    .await
    .map(drop)
}

async fn not_found(bench: &Bench) -> anyhow::Result<()> {
    fails_with(
        bench,
        error_response(404),
        false,
        ErrorKind::NotFound,
        &[Recovery::Never],
    )
    .await
    .map(drop)
}

async fn invalid(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for status in [422, 400] {
        bench.server.forget();
        bench.server.plan(Plan::always(
            On::Write,
            Trouble::Answer {
                answer: error_response(status),
                applied: false,
            },
        ));
        let results = bench
            .write(&desk, &[standard::mark(ADA, Session::Am, "L")])
            .await?;
        let Some(MarkResult::Refused(error)) = results.first() else {
            bail!("after {status} the mark should be rejected, but the results are {results:?}");
        };
        is_error(error, ErrorKind::Refused, &[Recovery::Never])?;
        let sent = bench.server.writes().len();
        ensure!(sent == 1, "one rejected mark was sent {sent} times");
    }
    Ok(())
}

async fn limited(bench: &Bench) -> anyhow::Result<()> {
    let seconds = Recovery::RetryAfter(Duration::from_secs(7));
    fails_with(
        bench,
        error_response(429).with("retry-after", "7"),
        false,
        ErrorKind::RateLimited,
        &[seconds],
    )
    .await?;
    fails_with(
        bench,
        error_response(429),
        false,
        ErrorKind::RateLimited,
        &[Recovery::Retry],
    )
    .await?;

    let desk = bench.open().await?;
    let until = (Utc::now() + TimeDelta::seconds(90))
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let answer = error_response(429).with("retry-after", until);
    let error = fails(
        bench,
        &desk,
        Trouble::Answer {
            answer,
            applied: false,
        },
    )
    .await?;
    // A date has whole seconds, and the request takes some time.
    ensure!(
        matches!(error.recovery(), Recovery::RetryAfter(wait) if (60..=91).contains(&wait.as_secs())),
        "the recovery should wait until a date 90 seconds ahead, but the error is {error:?}"
    );
    is_error(&error, ErrorKind::RateLimited, &[error.recovery()])
}

async fn failing(bench: &Bench) -> anyhow::Result<()> {
    for status in [500, 502, 504] {
        for applied in [false, true] {
            fails_with(
                bench,
                error_response(status),
                applied,
                ErrorKind::Unavailable,
                &[Recovery::Unknown],
            )
            .await?;
        }
    }
    fails_with(
        bench,
        Answer::page(502, "<html>Bad gateway</html>"),
        false,
        ErrorKind::Unavailable,
        &[Recovery::Unknown],
    )
    .await?;
    Ok(())
}

async fn overloaded(bench: &Bench) -> anyhow::Result<()> {
    fails_with(
        bench,
        error_response(503),
        false,
        ErrorKind::Unavailable,
        &[Recovery::Retry, Recovery::Unknown],
    )
    .await?;
    let wait = Recovery::RetryAfter(Duration::from_secs(7));
    fails_with(
        bench,
        error_response(503).with("retry-after", "7"),
        false,
        ErrorKind::Unavailable,
        &[wait, Recovery::Unknown],
    )
    .await?;
    Ok(())
}

async fn timed_out(bench: &Bench) -> anyhow::Result<()> {
    is_unknown(bench, |applied| Trouble::Stall { applied }).await
}

async fn cut_off(bench: &Bench) -> anyhow::Result<()> {
    is_unknown(bench, |applied| Trouble::Cut { applied }).await
}

/// Without a response the adapter cannot know whether the mark was stored. The register shows it.
async fn is_unknown(bench: &Bench, trouble: fn(bool) -> Trouble) -> anyhow::Result<()> {
    for applied in [false, true] {
        let desk = bench.open_impatient().await?;
        let error = fails(bench, &desk, trouble(applied)).await?;
        is_error(&error, ErrorKind::Unavailable, &[Recovery::Unknown])?;
        bench.server.forget();
        let mark = standard::mark(ADA, Session::Am, "L");
        let patient = bench.open().await?;
        let register = patient
            .mis
            .register(WINTER)
            .await
            .context("the register cannot be read after the failure")?;
        let found = register.held(&mark.student, mark.session).is_some();
        ensure!(
            found == applied,
            "mark stored: {applied}; shown by the register: {found}"
        );
    }
    Ok(())
}

fn malformed_responses() -> [Answer; 6] {
    [
        Answer::page(200, "<html>Please sign in</html>"),
        Answer::page(200, ""),
        Answer::page(200, r#"{"writeback_id": "W1"#),
        Answer::json(200, json!({})),
        Answer::json(200, json!({"writeback_id": null, "data": 7})),
        Answer::json(200, json!([[1, 2], "three"])),
    ]
}

async fn malformed(bench: &Bench) -> anyhow::Result<()> {
    for answer in malformed_responses() {
        for applied in [false, true] {
            fails_with(
                bench,
                answer.clone(),
                applied,
                ErrorKind::Decode,
                &[Recovery::Unknown],
            )
            .await?;
        }
    }
    Ok(())
}

/// Makes every kind of read while `trouble` lasts, and returns the errors.
async fn failing_reads(
    bench: &Bench,
    desk: &Desk,
    trouble: &Trouble,
) -> anyhow::Result<Vec<(&'static str, Error)>> {
    bench.server.forget();
    bench.server.plan(Plan::always(On::Read, trouble.clone()));
    let roster = bench.has(Ability::Roster);
    let students = async {
        let query = PeopleQuery::new(PersonKind::Student);
        desk.mis.people(query).try_collect::<Vec<_>>().await.err()
    };
    let groups = async { desk.mis.groups().try_collect::<Vec<_>>().await.err() };
    // Concurrently, because some of these errors take a while.
    let (book, register, lessons, students, groups) = tokio::join!(
        desk.mis.code_book(),
        desk.mis.register(WINTER),
        desk.mis.lessons(WINTER),
        students,
        groups
    );
    let mut errors = vec![
        ("the code book", book.err()),
        ("the register", register.err()),
        ("the lessons", lessons.err()),
    ];
    if roster {
        errors.extend([("the students", students), ("the groups", groups)]);
    }
    errors
        .into_iter()
        .map(|(what, error)| {
            let error = error
                .with_context(|| format!("reading {what} succeeded in spite of {trouble:?}"))?;
            Ok((what, error))
        })
        .collect()
}

async fn reads_fail_with(
    bench: &Bench,
    desk: &Desk,
    trouble: Trouble,
    kind: ErrorKind,
    recoveries: &[Recovery],
) -> anyhow::Result<()> {
    for (what, error) in failing_reads(bench, desk, &trouble).await? {
        is_error(&error, kind, recoveries).with_context(|| format!("{what} after {trouble:?}"))?;
    }
    Ok(())
}

async fn reading_statuses(bench: &Bench) -> anyhow::Result<()> {
    let wait = Recovery::RetryAfter(Duration::from_secs(7));
    let desk = bench.open().await?;
    for (answer, kind, recovery) in [
        (
            error_response(401),
            ErrorKind::Unauthorized,
            Recovery::Never,
        ),
        (error_response(403), ErrorKind::Forbidden, Recovery::Never),
        (error_response(404), ErrorKind::NotFound, Recovery::Never),
        (error_response(422), ErrorKind::Refused, Recovery::Never),
        (error_response(429), ErrorKind::RateLimited, Recovery::Retry),
        (
            error_response(429).with("retry-after", "7"),
            ErrorKind::RateLimited,
            wait,
        ),
        (error_response(500), ErrorKind::Unavailable, Recovery::Retry),
        (
            error_response(503).with("retry-after", "7"),
            ErrorKind::Unavailable,
            wait,
        ),
        (
            Answer::page(502, "<html>Bad gateway</html>"),
            ErrorKind::Unavailable,
            Recovery::Retry,
        ),
    ] {
        reads_fail_with(
            bench,
            &desk,
            Trouble::Answer {
                answer,
                applied: false,
            },
            kind,
            &[recovery],
        )
        .await?;
    }
    Ok(())
}

async fn reading_cut_off(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open_impatient().await?;
    for trouble in [
        Trouble::Cut { applied: false },
        Trouble::Stall { applied: false },
    ] {
        reads_fail_with(
            bench,
            &desk,
            trouble,
            ErrorKind::Unavailable,
            &[Recovery::Retry],
        )
        .await?;
    }
    Ok(())
}

async fn reading_malformed(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for answer in malformed_responses() {
        let trouble = Trouble::Answer {
            answer,
            applied: false,
        };
        reads_fail_with(
            bench,
            &desk,
            trouble,
            ErrorKind::Decode,
            &[Recovery::Never, Recovery::Retry],
        )
        .await?;
    }
    Ok(())
}
