//! What a register holds besides plain marks, and which code and lesson a mark is written to.

use std::time::Duration;

use markback::{
    operator::{self, Actor},
    service::EventState::{Confirmed, Failed, Skipped},
};
use mis_core::SchoolId;
use wonde_sandbox::{CodeChange, Hours, NewLesson, TeacherMark};

use crate::stage::{ARBOR, SIMS, Setup, Stage, answered, sign_in};

impl Stage {
    /// A teacher writes a comment without a mark.
    fn note(&self, school: usize, student: &str, session: &str) {
        let note = TeacherMark {
            student_id: student.to_owned(),
            date: Some("2026-11-23".parse().unwrap()),
            session: Some(session.to_owned()),
            comment: Some("Exam in the hall".to_owned()),
            ..TeacherMark::default()
        };
        self.sandbox.set_mark(&self.school(school), &note).unwrap();
    }

    fn change_code(&self, school: usize, code: &str, change: CodeChange) {
        let school = self.school(school);
        self.sandbox.change_code(&school, code, change).unwrap();
    }

    fn repeat_code(&self, school: usize, code: &str) -> String {
        let school = self.school(school);
        let change = CodeChange::default();
        self.sandbox.repeat_code(&school, code, change).unwrap()
    }

    async fn retry(&self, school: usize, id: &str) {
        let school = SchoolId::from(self.school(school));
        let (store, settings) = (self.markback.store(), self.markback.settings());
        operator::retry(store, &settings, &school, id, &Actor::default())
            .await
            .unwrap();
    }
}

const UNLISTED: CodeChange = CodeChange {
    listed: Some(false),
    active: None,
    start_date: None,
};

#[tokio::test]
async fn a_note_without_a_code_is_in_nobodys_way() {
    let stage = Stage::usual().await;
    for (n, school) in [SIMS, ARBOR].into_iter().enumerate() {
        let pupil = stage.pupil(school, n);
        stage.note(school, &pupil, "AM");
        stage.take(school, sign_in("e1", &pupil, "09:07:00")).await;
        assert_eq!(stage.settled_as(school, "e1").await, Confirmed);
        assert_eq!(stage.code(school, &pupil, "AM").unwrap(), "L");
    }
}

#[tokio::test]
async fn an_unknown_code_protects_and_a_person_is_told_at_once() {
    let setup = Setup {
        writeback: r#"protected = ["/", "\\", "M", "I"]"#,
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let (pupil, other) = (stage.pupil(SIMS, 0), stage.pupil(SIMS, 1));
    stage.change_code(SIMS, "I", UNLISTED);
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    let id = stage.held(SIMS, &pupil, "AM").unwrap().code_id;

    for (n, at) in ["09:07:00", "09:08:00", "09:09:00"].into_iter().enumerate() {
        stage
            .take(SIMS, sign_in(&format!("e{n}"), &pupil, at))
            .await;
        assert_eq!(
            stage.settled_as(SIMS, &format!("e{n}")).await,
            Failed,
            "{at}"
        );
    }
    let event = stage.event(SIMS, "e0").await;
    let why = event.outcome.unwrap();
    assert!(why.contains(&format!("a code with the id {id}")), "{why}");
    assert!(why.contains("retry the event"), "{why}");
    assert_eq!(event.session.as_deref(), Some("AM"));
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
    // The list was read, and read again at most once, however many events there are.
    let reads = stage.requests("attendance-codes");
    assert!(reads <= 2, "{reads}");

    // The pupil's other session and the other pupils go on.
    stage.clock.advance(Duration::from_secs(3 * 60 * 60 + 600));
    stage.take(SIMS, sign_in("pm", &pupil, "13:07:00")).await;
    stage.take(SIMS, sign_in("other", &other, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "pm").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "L");
    assert_eq!(stage.code(SIMS, &other, "AM").unwrap(), "L");

    // When the list has it, a retry is decided by it at once.
    let listed = CodeChange {
        listed: Some(true),
        ..CodeChange::default()
    };
    stage.change_code(SIMS, "I", listed);
    stage.retry(SIMS, "e0").await;
    assert_eq!(stage.settled_as(SIMS, "e0").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

#[tokio::test]
async fn an_unknown_code_that_came_after_the_plan_fails_the_event_as_well() {
    let mut stage = Stage::idle(Setup::default()).await;
    stage.work();
    stage.people_known().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.change_code(SIMS, "I", UNLISTED);
    let rule = wonde_sandbox::Fault::Status {
        status: 503,
        retry_after: wonde_sandbox::RetryAfter::Seconds(600),
    };
    stage
        .sandbox
        .add_fault(crate::stage::post(rule).times(1))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    stage.clock.advance(Duration::from_secs(700));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Failed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
    // What was planned is gone from our own record: the register decides about the next.
    stage.teacher(SIMS, &pupil, "AM", Some("M"));
    stage.clock.advance(Duration::from_secs(700));
    stage
        .take(SIMS, answered("e2", &pupil, "09:30:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Skipped);
}

#[tokio::test]
async fn a_mark_with_either_id_of_a_repeated_code_is_protected() {
    let stage = Stage::usual().await;
    let second = stage.repeat_code(SIMS, "M");
    let first = stage.pupil(SIMS, 0);
    let pupil = stage.pupil(SIMS, 1);
    stage.teacher(SIMS, &first, "AM", Some("M"));
    stage.teacher(SIMS, &pupil, "AM", Some(&second));
    for pupil in [&first, &pupil] {
        stage.take(SIMS, sign_in(pupil, pupil, "09:07:00")).await;
        assert_eq!(stage.settled_as(SIMS, pupil).await, Skipped);
        assert_eq!(stage.code(SIMS, pupil, "AM").unwrap(), "M");
    }
}

#[tokio::test]
async fn a_repeated_code_is_written_when_the_list_tells_which_is_in_use() {
    let stage = Stage::usual().await;
    let second = stage.repeat_code(SIMS, "L");
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Failed);
    let why = stage.event(SIMS, "e1").await.outcome.unwrap();
    assert!(why.contains("L 2 times"), "{why}");
    assert_eq!(stage.code(SIMS, &pupil, "AM"), None);

    let active = CodeChange {
        active: Some(true),
        ..CodeChange::default()
    };
    stage.change_code(SIMS, &second, active);
    stage.retry(SIMS, "e1").await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    let held = stage.held(SIMS, &pupil, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.code_id), ("L", second));
}

/// The afternoon begins within the fourth lesson, from 13:00 to 14:00, and the morning after a breakfast club.
#[tokio::test]
async fn rules_and_lessons_go_by_the_same_sessions() {
    let setup = Setup {
        times: r#"
am = { opens = "08:30", late = "09:00", unauthorised = "09:20" }
pm = { opens = "13:30", late = "14:00", unauthorised = "14:20" }
"#,
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let school = stage.school(ARBOR);
    let time = |text: &str| format!("{text}:00").parse().unwrap();
    let hours = Hours {
        morning_from: Some(time("08:30")),
        afternoon_from: time("13:30"),
    };
    stage.sandbox.set_hours(&school, hours).unwrap();
    let pupil = stage.pupil(ARBOR, 0);
    let club = NewLesson {
        date: "2026-11-23".parse().unwrap(),
        start: time("07:45"),
        end: time("08:25"),
        students: vec![pupil.clone()],
    };
    let club = stage.sandbox.add_lesson(&school, &club).unwrap();
    stage.clock.advance(Duration::from_secs(4 * 60 * 60 + 1200));
    stage.take(ARBOR, sign_in("am", &pupil, "09:07:00")).await;
    stage.take(ARBOR, sign_in("pm", &pupil, "14:07:00")).await;
    assert_eq!(stage.settled_as(ARBOR, "am").await, Confirmed);
    assert_eq!(stage.settled_as(ARBOR, "pm").await, Confirmed);
    for session in ["AM", "PM"] {
        // The sandbox says of a lesson's mark which session it is the first of.
        let held = stage.held(ARBOR, &pupil, session).unwrap();
        assert_eq!(held.code, "L", "{session}");
        assert_ne!(held.lesson_id, Some(club.clone()), "{session}");
    }
    let marks = stage.sandbox.mis_marks(&school).unwrap();
    let ours = marks.iter().filter(|mark| mark.writeback_id.is_some());
    assert_eq!(ours.count(), 2);
}
