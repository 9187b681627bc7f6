//! The front desk: what is said before an event comes in is what becomes of it, and a form sent twice makes one event.

use markback::{
    correction::{Correction, Effect, correct, effect},
    desk::{Entry, ExpectationError, new_id},
    operator::Actor,
    service::EventState::{Confirmed, Skipped},
};
use mis_core::{Code, HeldCode, PersonKind, SchoolId};
use roster::PersonKey;
use rstest::rstest;
use writeback::SkipReason;

use crate::stage::{SIMS, Stage, sign_in};

fn school(stage: &Stage) -> SchoolId {
    stage.sandbox.schools()[SIMS].id.as_str().into()
}

fn entry(person: &str, at: &str) -> Entry {
    Entry {
        id: new_id(),
        person: person.to_owned(),
        kind_of_person: Some(PersonKind::Student),
        at: format!("2026-11-23T{at}+00:00"),
        ..Entry::default()
    }
}

#[tokio::test]
async fn the_mark_that_is_shown_is_the_mark_that_is_made() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let mut entry = entry(&pupil, "09:05:00");
    entry.answers = vec![
        ("Reason".to_owned(), "M - Medical appointment".to_owned()),
        ("Leaving".to_owned(), "  ".to_owned()),
    ];
    let school = school(&stage);
    let before = stage
        .markback
        .expect(&school, entry.to_json())
        .await
        .unwrap();
    let code = before.decision.planned().unwrap().mark.code.to_string();
    assert_eq!(code, "M");
    assert_eq!(before.register(), None);
    let none = stage.markback.event(&school, &entry.id).await.unwrap();
    assert!(none.is_none(), "nothing is stored by looking");

    for _ in 0..2 {
        let actor = Actor::default();
        let taken = stage
            .markback
            .intake_by(&actor, &school, vec![entry.to_json()]);
        assert_eq!(taken.await.unwrap().len(), 1);
    }
    assert_eq!(stage.settled_as(SIMS, &entry.id).await, Confirmed);
    let held = stage.held(SIMS, &pupil, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.writes), (code.as_str(), 1));
}

#[tokio::test]
async fn a_teachers_mark_is_seen_before() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.teacher(SIMS, &pupil, "AM", Some("M"));
    stage.clock.advance(std::time::Duration::from_secs(3600));
    let entry = entry(&pupil, "09:05:00");
    let school = school(&stage);
    let before = stage
        .markback
        .expect(&school, entry.to_json())
        .await
        .unwrap();
    assert_eq!(before.decision.skipped(), Some(SkipReason::Protected));
    assert_eq!(before.register(), Some(&HeldCode::Known(Code::new("M"))));
    let actor = Actor::default();
    let taken = stage
        .markback
        .intake_by(&actor, &school, vec![entry.to_json()]);
    taken.await.unwrap();
    assert_eq!(stage.settled_as(SIMS, &entry.id).await, Skipped);
}

#[tokio::test]
async fn an_event_that_intake_would_refuse_is_refused_before() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let school = school(&stage);
    let mut wrong = entry(&pupil, "09:05:00");
    wrong.answers = vec![("Reason".to_owned(), "The dog ate it".to_owned())];
    let Err(ExpectationError::Problems(problems)) =
        stage.markback.expect(&school, wrong.to_json()).await
    else {
        panic!("the answer is no option");
    };
    assert_eq!(problems[0].key, "[0].answers.Reason");
    let nobody = entry("nobody", "09:05:00");
    let refused = stage.markback.expect(&school, nobody.to_json()).await;
    assert!(matches!(refused, Err(ExpectationError::Problems(_))));
    let elsewhere = stage.markback.expect(&"A0".into(), nobody.to_json()).await;
    assert!(matches!(elsewhere, Err(ExpectationError::UnknownSchool)));
}

#[tokio::test]
async fn a_pupil_is_found_by_name_and_named_by_an_id_that_intake_takes() {
    let stage = Stage::usual().await;
    let school = school(&stage);
    let pupil = stage.pupil(SIMS, 0);
    let people = stage
        .markback
        .people()
        .names(&school)
        .await
        .unwrap()
        .unwrap();
    let known = people.get(PersonKind::Student, &PersonKey::new(pupil.clone()));
    let known = known.unwrap();
    let (forename, surname) = (
        known.forename.clone().unwrap(),
        known.surname.clone().unwrap(),
    );
    let initial: String = forename.chars().take(1).collect();
    let typed = format!("{initial} {surname}");
    let (found, _) = people.search(&typed, 10);
    assert!(found.iter().any(|one| one.key == known.key));
    let id = stage
        .markback
        .id_for_events(&school, known.kind, &known.key)
        .await;
    assert_eq!(id.unwrap(), Some(pupil));
    let nobody = PersonKey::new("A-nobody");
    let none = stage
        .markback
        .id_for_events(&school, PersonKind::Student, &nobody)
        .await;
    assert_eq!(none.unwrap(), None);
}

/// When the replacement happened, and the code that it makes once the wrong sign-in at 9:05 is withdrawn.
#[rstest]
#[case::earlier("08:50:00", Some("/"))]
#[case::later("09:25:00", Some("U"))]
#[tokio::test]
async fn what_the_right_event_makes_is_told_as_if_the_wrong_one_had_never_been(
    #[case] at: &str,
    #[case] code: Option<&str>,
) {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let school = school(&stage);
    stage.take(SIMS, sign_in("wrong", &pupil, "09:05:00")).await;
    assert_eq!(stage.settled_as(SIMS, "wrong").await, Confirmed);
    let entry = entry(&pupil, at);
    let (_, effect) = effect(stage.markback.store(), &school, "wrong")
        .await
        .unwrap();
    assert_eq!(effect, Effect::Repaired);
    let expected = stage
        .markback
        .expect_instead(&school, entry.to_json(), ("wrong", effect))
        .await
        .unwrap();
    let planned = expected.decision.planned();
    let told = planned.map(|planned| planned.mark.code.to_string());
    assert_eq!(told.as_deref(), code, "{:?}", expected.decision);

    let correction = Correction {
        reason: "wrong time".to_owned(),
        replacement: Some(entry.to_json()),
    };
    correct(
        stage.markback.store(),
        &stage.markback.settings(),
        stage.markback.people(),
        &school,
        "wrong",
        &correction,
        &Actor::default(),
    )
    .await
    .unwrap();
    stage.settled().await;
    assert_eq!(stage.state(SIMS, &entry.id).await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").as_deref(), code);
}
