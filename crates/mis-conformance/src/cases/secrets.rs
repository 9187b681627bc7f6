//! Tokens, names and comments are in no error and no `Debug` text, even if a response repeats them.

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use mis_wonde::{Ability, Mark, MarkResult, PeopleQuery, PersonKind, Session};
use serde_json::json;

use super::{cases, everybody, writers};
use crate::{
    answer::Answer,
    bench::{Bench, Desk},
    fixtures::Outcome,
    server::{On, Plan, Trouble},
    standard::{self, ADA, BEN, COMMENT, FORENAME, SURNAME, UNKNOWN_CODE, WINTER},
    verdict::{is_discreet, is_discreet_error},
};

cases! {
    Fault None, "secrets::stay_out_of_errors_of_reading", everybody => reading;
    Fault Some(Ability::Session), "secrets::stay_out_of_errors_of_writing", writers => writing;
    Negative None, "secrets::stay_out_of_debug", everybody => debug;
}

/// Responses that repeat the token, a name and a comment, in every possible place.
fn leaking_responses() -> Vec<Answer> {
    let token = standard::token(1);
    let all = format!("{SURNAME}, {FORENAME}1: {COMMENT} (Bearer {token})");
    let mut answers: Vec<Answer> = [400, 401, 403, 404, 409, 422, 429, 500, 503]
        .into_iter()
        .flat_map(|status| {
            let body = json!({"error": all, "error_description": all, "message": all, all.clone(): {"student": all}, "errors": [all]});
            let word = json!({"error": token, "error_description": COMMENT});
            [Answer::json(status, body), Answer::json(status, word), Answer::page(status, all.clone())]
        })
        .collect();
    for body in [
        json!({"data": [{"id": {(SURNAME): COMMENT}}]}),
        json!({"data": [{"id": "A1", "date_of_birth": all, "start_at": all, "updated_at": all, "education_details": all}]}),
        json!({"data": [all]}),
        json!({"writeback_id": {"a": all}, (COMMENT): all}),
        json!(all),
    ] {
        answers.push(Answer::json(200, body));
    }
    answers.push(Answer::page(200, format!("<html>{all}")));
    answers.push(Answer::page(
        200,
        format!("{{\"{SURNAME}\": \"{COMMENT}\", {token}"),
    ));
    answers
}

fn secret_mark(bench: &Bench, pupil: usize, code: &str) -> Mark {
    Mark {
        comment: bench.has(Ability::Comment).then(|| COMMENT.to_owned()),
        ..standard::mark(pupil, Session::Am, code)
    }
}

async fn reading(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for answer in leaking_responses() {
        bench.server.forget();
        bench.server.plan(Plan::always(
            On::Read,
            Trouble::Answer {
                answer,
                applied: false,
            },
        ));
        check_reads(bench, &desk).await?;
    }
    let impatient = bench.open_impatient().await?;
    for trouble in [
        Trouble::Cut { applied: false },
        Trouble::Stall { applied: false },
    ] {
        bench.server.forget();
        bench.server.plan(Plan::once_after(0, On::Read, trouble));
        if let Err(error) = impatient.mis.code_book().await {
            is_discreet_error("an error of reading the code book", &error)?;
        }
    }
    Ok(())
}

async fn check_reads(bench: &Bench, desk: &Desk) -> anyhow::Result<()> {
    let mut errors = vec![
        ("reading the code book", desk.mis.code_book().await.err()),
        (
            "reading the register",
            desk.mis.register(WINTER).await.err(),
        ),
        ("reading lessons", desk.mis.lessons(WINTER).await.err()),
    ];
    if bench.has(Ability::Roster) {
        for kind in [PersonKind::Student, PersonKind::Staff, PersonKind::Parent] {
            let people: mis_wonde::Result<Vec<_>> =
                desk.mis.people(PeopleQuery::new(kind)).try_collect().await;
            errors.push(("reading people", people.err()));
        }
        let groups: mis_wonde::Result<Vec<_>> = desk.mis.groups().try_collect().await;
        errors.push(("reading groups", groups.err()));
    }
    for (what, error) in errors {
        if let Some(error) = error {
            is_discreet_error(&format!("an error of {what}"), &error)?;
        }
    }
    Ok(())
}

async fn writing(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for answer in leaking_responses() {
        let trouble = Trouble::Answer {
            answer,
            applied: false,
        };
        check_write(bench, &desk, trouble).await?;
    }
    let impatient = bench.open_impatient().await?;
    for trouble in [
        Trouble::Cut { applied: false },
        Trouble::Stall { applied: false },
    ] {
        check_write(bench, &impatient, trouble).await?;
    }
    Ok(())
}

async fn check_write(bench: &Bench, desk: &Desk, trouble: Trouble) -> anyhow::Result<()> {
    bench.server.forget();
    bench.server.plan(Plan::always(On::Write, trouble));
    // One mark that is sent, and one that is rejected before.
    let marks = [
        secret_mark(bench, ADA, "L"),
        secret_mark(bench, BEN, UNKNOWN_CODE),
    ];
    match desk.mis.write(&marks).await {
        Ok(results) => {
            is_discreet("the marks' results", &results)?;
            for result in results {
                match result {
                    MarkResult::Refused(error) | MarkResult::Failed(error) => {
                        is_discreet_error("a mark's error", &error)?
                    }
                    MarkResult::Accepted(_) | MarkResult::Written => {
                        bail!("a mark was accepted although the response was an error")
                    }
                }
            }
            Ok(())
        }
        Err(error) => is_discreet_error("an error of writing", &error),
    }
}

async fn debug(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    is_discreet("the adapter", &desk)?;
    let register = desk
        .mis
        .register(WINTER)
        .await
        .context("the register cannot be read")?;
    is_discreet("a register with a comment in it", &register)?;
    if bench.has(Ability::Roster) {
        let people: Vec<_> = desk
            .mis
            .people(PeopleQuery::new(PersonKind::Student))
            .try_collect()
            .await
            .context("students cannot be read")?;
        is_discreet("people", &people)?;
    }
    if bench.has(Ability::Session) {
        let marks = [secret_mark(bench, ADA, "L")];
        is_discreet("a mark", &marks)?;
        let results = bench.write_all(&desk, &marks).await?;
        is_discreet("a mark's result", &results)?;
        let Some(MarkResult::Accepted(accepted)) = results.into_iter().next() else {
            bail!("the mark was accepted without a receipt");
        };
        let rejection =
            json!({"data": {"status": "failed", "message": format!("{SURNAME}: {COMMENT}")}});
        bench.server.world().settle(Outcome::Rejected);
        bench.server.plan(Plan::always(
            On::Read,
            Trouble::Answer {
                answer: Answer::json(200, rejection),
                applied: false,
            },
        ));
        let outcome = desk
            .mis
            .outcome(&accepted.receipt)
            .await
            .context("the outcome cannot be read")?;
        is_discreet("an outcome with the MIS's message", &outcome)?;
    }
    // Again, with everything that the adapter has cached.
    is_discreet("the adapter after its work", &desk)
}
