//! Marks on the pupil's first lesson in a session: the choice of the lesson, its caching, and rejections.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::stream::TryStreamExt as _;
use mis_wonde::{
    Ability, Capabilities, ConnectContext, Descriptor, ErrorKind, EventKind, Mark, MarkResult, Mis,
    Recovery, RegisterQuery, Session, Slot, first_lesson_marks,
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use crate::common;

static DESCRIPTOR: Descriptor = Descriptor::new("lessons", "Lessons", |context| {
    first_lesson_marks(&DESCRIPTOR, context)
})
.with_capabilities(
    Capabilities::FIRST_LESSON_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate),
);

/// An adapter connected to a school whose lessons, pupils and rejections the test sets.
struct School {
    server: MockServer,
    mis: Mis,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    now: Mutex<DateTime<Utc>>,
    /// Rows of `lessons`.
    lessons: Mutex<Value>,
    /// Whether `lessons` returns a server error.
    lessons_fail: AtomicBool,
    /// Rows of `students`, with their classes.
    students: Mutex<Vec<Value>>,
    /// Lessons whose marks are rejected, each with the status.
    refuses: Mutex<Vec<(&'static str, u16)>>,
    /// How often the lessons were read.
    lesson_reads: AtomicUsize,
}

impl School {
    async fn open(lessons: Value) -> Self {
        Self::open_with(lessons, ConnectContext::new("A1")).await
    }

    async fn open_with(lessons: Value, mut context: ConnectContext) -> Self {
        let state = Arc::new(State {
            now: Mutex::new("2026-11-23T08:50:00Z".parse().unwrap()),
            lessons: Mutex::new(lessons),
            ..State::default()
        });
        *state.students.lock().unwrap() =
            vec![student("S1", &["C1", "C2"]), student("S2", &["C2"])];
        let server = MockServer::start().await;
        let region = json!({"domain": server.address().to_string()});
        answer(&server, "/v1.0/schools/A1", move |_| {
            ok(json!({"id": "A1", "mis": "Lessons", "timezone": "Europe/London", "region": region}))
        })
        .await;
        answer(&server, "/v1.0/schools/A1/attendance-codes", |_| {
            ok(json!([{"id": "L-id", "code": "L"}, {"id": "P-id", "code": "/"}]))
        })
        .await;
        let shared = state.clone();
        answer(&server, "/v1.0/schools/A1/lessons", move |_| {
            shared.lesson_reads.fetch_add(1, Ordering::Relaxed);
            if shared.lessons_fail.load(Ordering::Relaxed) {
                return ResponseTemplate::new(500);
            }
            ok(shared.lessons.lock().unwrap().clone())
        })
        .await;
        let shared = state.clone();
        answer(&server, "/v1.0/schools/A1/students", move |_| {
            ok(json!(*shared.students.lock().unwrap()))
        })
        .await;
        let shared = state.clone();
        Mock::given(method("POST"))
            .and(path("/v1.0/schools/A1/attendance/lesson"))
            .respond_with(move |request: &Request| shared.take(request))
            .mount(&server)
            .await;

        let clock = state.clone();
        context.now = Arc::new(move || *clock.now.lock().unwrap());
        let mis = common::connect(&server, &DESCRIPTOR, context).await;
        Self { server, mis, state }
    }

    async fn write(&self, marks: &[Mark]) -> Vec<MarkResult> {
        self.mis.write(marks).await.unwrap()
    }

    /// Writes one mark and returns its lesson.
    async fn lesson_of(&self, mark: Mark) -> String {
        match self.write(&[mark]).await.pop() {
            Some(MarkResult::Accepted(accepted)) => accepted.lesson.unwrap().to_string(),
            other => panic!("not accepted: {other:?}"),
        }
    }

    fn set_lessons(&self, lessons: Value) {
        *self.state.lessons.lock().unwrap() = lessons;
    }

    fn refuse(&self, refuses: &[(&'static str, u16)]) {
        *self.state.refuses.lock().unwrap() = refuses.to_vec();
    }

    fn wait(&self, time: TimeDelta) {
        *self.state.now.lock().unwrap() += time;
    }

    fn lesson_reads(&self) -> usize {
        self.state.lesson_reads.load(Ordering::Relaxed)
    }

    async fn posts(&self) -> usize {
        let seen = self.server.received_requests().await.unwrap();
        seen.iter()
            .filter(|request| request.method.as_str() == "POST")
            .count()
    }
}

impl State {
    fn take(&self, request: &Request) -> ResponseTemplate {
        let body: Value = request.body_json().unwrap();
        let marks = body["attendance"].as_array().unwrap();
        let refuses = self.refuses.lock().unwrap();
        let refusal = refuses
            .iter()
            .find(|(lesson, _)| marks.iter().any(|mark| mark["lesson_id"] == *lesson));
        match refusal {
            Some((_, status)) => {
                ResponseTemplate::new(*status).set_body_json(json!({"error": "x"}))
            }
            None => ResponseTemplate::new(200).set_body_json(json!({"writeback_id": "W1"})),
        }
    }
}

async fn answer(
    server: &MockServer,
    at: &str,
    response: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static,
) {
    Mock::given(method("GET"))
        .and(path(at))
        .respond_with(response)
        .mount(server)
        .await;
}

fn ok(data: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "data": data }))
}

fn lesson(id: &str, class: &str, start: &str) -> Value {
    json!({"id": id, "class": class, "start_at": {"date": start, "timezone_type": 3, "timezone": "UTC"}})
}

/// A lesson with an end, in London in winter.
fn from_to(id: &str, class: &str, start: &str, end: &str) -> Value {
    let mut row = lesson(id, class, &format!("2026-11-23 {start}:00"));
    row["end_at"] =
        json!({"date": format!("2026-11-23 {end}:00"), "timezone_type": 3, "timezone": "UTC"});
    row
}

fn student(id: &str, classes: &[&str]) -> Value {
    let classes: Vec<_> = classes.iter().map(|id| json!({"id": id})).collect();
    json!({"id": id, "classes": {"data": classes}})
}

/// Two classes: C1 at nine, and C2 at ten and two, while London is on UTC.
fn usual() -> Value {
    json!([
        lesson("pm-c2", "C2", "2026-11-23 14:00:00"),
        lesson("am-c2", "C2", "2026-11-23 10:00:00"),
        lesson("am-c1", "C1", "2026-11-23 09:00:00.000000"),
    ])
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn mark(student: &str, session: Session) -> Mark {
    Mark {
        student: student.into(),
        date: day("2026-11-23"),
        session,
        code: "L".into(),
        cause: EventKind::SignIn,
        comment: None,
        minutes_late: None,
        employee: None,
    }
}

#[tokio::test]
async fn each_sessions_mark_is_on_the_first_lesson_of_the_pupils_classes() {
    let school = School::open(usual()).await;
    assert_eq!(school.lesson_of(mark("S1", Session::Am)).await, "am-c1");
    assert_eq!(school.lesson_of(mark("S2", Session::Am)).await, "am-c2");
    assert_eq!(school.lesson_of(mark("S1", Session::Pm)).await, "pm-c2");
}

/// Such a time can be parsed but has no local time in London: it is before the first day of the calendar.
#[tokio::test]
async fn lessons_at_the_limits_of_the_calendar_are_ignored() {
    let school = School::open(json!([
        lesson("first", "C1", "-262143-01-01 00:00:00"),
        lesson("last", "C1", "+262142-12-31 23:59:59"),
        lesson("am-c1", "C1", "2026-11-23 09:00:00"),
    ]))
    .await;
    assert_eq!(school.lesson_of(mark("S1", Session::Am)).await, "am-c1");
}

#[tokio::test]
async fn morning_and_afternoon_follow_the_schools_time_zone() {
    // In June 11:30 in UTC is half past twelve in London, and 23:30 is the next day.
    let school = School::open(json!([
        lesson("late-night", "C1", "2026-06-14 22:30:00"),
        lesson("am", "C1", "2026-06-15 08:00:00"),
        lesson("midday", "C1", "2026-06-15 11:30:00"),
        lesson("pm", "C1", "2026-06-15 13:00:00"),
        lesson("tomorrow", "C1", "2026-06-15 23:30:00"),
    ]))
    .await;
    let on = |session| Mark {
        date: day("2026-06-15"),
        ..mark("S1", session)
    };
    assert_eq!(school.lesson_of(on(Session::Am)).await, "am");
    assert_eq!(school.lesson_of(on(Session::Pm)).await, "midday");
}

/// A school day with a club and with lessons across the session boundaries, and the expected first lessons.
#[rstest::rstest]
#[case::as_it_is(None, "12:00", "club", "after-noon")]
#[case::the_club_is_over_by_then(Some("08:25"), "12:00", "early", "after-noon")]
#[case::over_the_mornings_beginning(Some("08:30"), "12:00", "early", "after-noon")]
#[case::registration_is_over_too(Some("08:50"), "12:00", "over-noon", "after-noon")]
#[case::the_afternoon_begins_later(Some("08:30"), "13:15", "early", "pm")]
#[case::and_with_its_first_lesson(None, "12:05", "club", "after-noon")]
#[tokio::test]
async fn a_lesson_belongs_to_the_session_in_which_it_begins(
    #[case] morning_from: Option<&str>,
    #[case] afternoon_from: &str,
    #[case] am: &str,
    #[case] pm: &str,
) {
    let time = |text: &str| format!("{text}:00").parse().unwrap();
    let mut context = ConnectContext::new("A1");
    context.morning_from = morning_from.map(time);
    context.afternoon_from = time(afternoon_from);
    let lessons = json!([
        from_to("club", "C1", "07:45", "08:25"),
        from_to("early", "C1", "08:20", "08:50"),
        from_to("over-noon", "C1", "11:20", "12:05"),
        from_to("after-noon", "C1", "12:05", "13:05"),
        from_to("pm", "C1", "13:15", "14:15"),
    ]);
    let school = School::open_with(lessons, context).await;
    assert_eq!(school.lesson_of(mark("S1", Session::Am)).await, am);
    assert_eq!(school.lesson_of(mark("S1", Session::Pm)).await, pm);
}

#[tokio::test]
async fn a_lesson_without_an_end_is_before_school_by_its_start() {
    let mut context = ConnectContext::new("A1");
    context.morning_from = Some("08:30:00".parse().unwrap());
    let lessons = json!([
        lesson("club", "C1", "2026-11-23 07:45:00"),
        from_to("no-end", "C1", "08:00", "08:00"),
        lesson("first", "C1", "2026-11-23 08:30:00"),
    ]);
    let school = School::open_with(lessons, context).await;
    assert_eq!(school.lesson_of(mark("S1", Session::Am)).await, "first");
}

#[tokio::test]
async fn cancelled_lessons_and_lessons_without_registers_are_skipped() {
    let mut lessons = usual();
    lessons[2]["cancelled"] = json!(true);
    lessons.as_array_mut().unwrap().push(json!({
        "id": "no-register", "class": "C1", "registered": false,
        "start_at": {"date": "2026-11-23 09:30:00", "timezone": "UTC"},
    }));
    let school = School::open(lessons).await;
    assert_eq!(school.lesson_of(mark("S1", Session::Am)).await, "am-c2");
}

#[tokio::test]
async fn a_pupil_without_a_lesson_is_rejected_without_a_request() {
    let school = School::open(json!([lesson("pm-c2", "C2", "2026-11-23 14:00:00")])).await;
    let results = school.write(&[mark("S1", Session::Am)]).await;
    let [MarkResult::Refused(error)] = results.as_slice() else {
        panic!("not rejected: {results:?}");
    };
    assert_eq!(error.kind(), ErrorKind::NoLesson);
    assert_eq!(error.recovery(), Recovery::Never);
    assert!(
        error.to_string().contains("no lesson in AM on 2026-11-23"),
        "{error}"
    );
    assert_eq!(school.posts().await, 0);
}

#[tokio::test]
async fn the_lessons_are_read_once_a_day() {
    let school = School::open(usual()).await;
    for _ in 0..3 {
        school.lesson_of(mark("S1", Session::Am)).await;
        school.wait(TimeDelta::hours(2));
    }
    assert_eq!(school.lesson_reads(), 1);
    school.wait(TimeDelta::hours(12));
    school.lesson_of(mark("S1", Session::Am)).await;
    assert_eq!(school.lesson_reads(), 2);
}

#[tokio::test]
async fn an_older_day_is_read_once_for_all_its_marks() {
    let school = School::open(usual()).await;
    for date in ["2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"] {
        let mark = Mark {
            date: day(date),
            ..mark("S1", Session::Am)
        };
        school.write(&[mark]).await;
    }
    let before = school.lesson_reads();
    let marks = [
        mark("S1", Session::Am),
        mark("S2", Session::Am),
        mark("S1", Session::Pm),
    ];
    school.write(&marks).await;
    school.write(&marks).await;
    assert_eq!(school.lesson_reads(), before + 1);
}

#[tokio::test]
async fn after_a_rejection_the_mark_goes_to_the_new_first_lesson() {
    let school = School::open(usual()).await;
    school.lesson_of(mark("S2", Session::Pm)).await;
    school.set_lessons(json!([
        lesson("am-moved", "C1", "2026-11-23 09:10:00"),
        lesson("am-c2", "C2", "2026-11-23 10:00:00"),
    ]));
    school.refuse(&[("am-c1", 422)]);
    let results = school
        .write(&[mark("S2", Session::Am), mark("S1", Session::Am)])
        .await;
    let lessons: Vec<_> = results
        .iter()
        .map(|result| match result {
            MarkResult::Accepted(accepted) => accepted.lesson.clone().unwrap().to_string(),
            other => panic!("not accepted: {other:?}"),
        })
        .collect();
    assert_eq!(lessons, ["am-c2", "am-moved"]);
    assert_eq!(school.lesson_reads(), 2);
}

#[tokio::test]
async fn a_rejected_mark_is_not_resent_to_the_same_lesson() {
    let school = School::open(usual()).await;
    school.lesson_of(mark("S2", Session::Pm)).await;
    school.refuse(&[("am-c1", 422)]);
    let before = school.posts().await;
    let results = school.write(&[mark("S1", Session::Am)]).await;
    assert!(
        matches!(results.as_slice(), [MarkResult::Refused(error)] if error.kind() == ErrorKind::Refused),
        "{results:?}"
    );
    assert_eq!(school.posts().await, before + 1);
    assert_eq!(school.lesson_reads(), 2);
}

#[tokio::test]
async fn a_timetable_read_in_the_same_call_is_not_read_again() {
    let school = School::open(usual()).await;
    school.refuse(&[("am-c1", 422)]);
    school.write(&[mark("S1", Session::Am)]).await;
    assert_eq!(school.lesson_reads(), 1);
}

#[tokio::test]
async fn a_new_lesson_is_found_after_a_while() {
    let school = School::open(json!([lesson("am-c2", "C2", "2026-11-23 10:00:00")])).await;
    let unplaced = mark("S1", Session::Pm);
    school.write(std::slice::from_ref(&unplaced)).await;
    school.set_lessons(usual());
    let results = school.write(std::slice::from_ref(&unplaced)).await;
    assert!(
        matches!(results.as_slice(), [MarkResult::Refused(_)]),
        "{results:?}"
    );
    assert_eq!(school.lesson_reads(), 1, "not for every such mark");
    school.wait(TimeDelta::minutes(15));
    assert_eq!(school.lesson_of(unplaced).await, "pm-c2");
}

#[tokio::test]
async fn accepted_marks_are_reported_if_the_timetable_cannot_be_read_again() {
    let school = School::open(usual()).await;
    school.lesson_of(mark("S2", Session::Pm)).await;
    school.refuse(&[("am-c1", 422)]);
    school.state.lessons_fail.store(true, Ordering::Relaxed);
    let results = school
        .write(&[mark("S1", Session::Am), mark("S2", Session::Am)])
        .await;
    let [MarkResult::Failed(error), MarkResult::Accepted(accepted)] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert_ne!(error.recovery(), Recovery::Never, "{error:?}");
    assert_eq!(accepted.lesson, Some("am-c2".into()));
}

#[tokio::test]
async fn no_more_requests_are_sent_to_an_unreachable_school() {
    let school = School::open(usual()).await;
    school.lesson_of(mark("S2", Session::Pm)).await;
    school.refuse(&[("am-c1", 422), ("pm-c2", 503)]);
    let marks = [mark("S1", Session::Am), mark("S2", Session::Pm)];
    let results = school.write(&marks).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, MarkResult::Failed(_))),
        "both are to be tried again: {results:?}"
    );
    assert_eq!(school.lesson_reads(), 1);
}

#[tokio::test]
async fn rows_have_their_lessons_day_if_lessons_can_be_included() {
    for may_include in [true, false] {
        let school = School::open(json!([])).await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        answer(&school.server, "/v1.0/schools/A1/attendance/lesson", move |request| {
            let mut query = request.url.query_pairs();
            let include = query.any(|(key, value)| key == "include" && value == "lesson");
            told.lock().unwrap().push(include);
            if include && !may_include {
                return ResponseTemplate::new(400).set_body_json(json!({"error": "invalid_include"}));
            }
            let starts = json!({"date": "2026-11-23 09:00:00", "timezone_type": 3, "timezone": "UTC"});
            let lesson = if include {
                json!({"data": {"id": "M1", "start_at": starts}})
            } else {
                json!("M1")
            };
            ok(json!([{"id": "R1", "student": "S1", "lesson": lesson, "attendance_code": "L-id"}]))
        })
        .await;
        for _ in 0..2 {
            let rows = school.mis.register_rows(RegisterQuery::default());
            let rows: Vec<_> = rows.try_collect().await.unwrap();
            let row = rows.first().unwrap();
            assert_eq!(row.slot, Slot::Lesson("M1".into()));
            let day = may_include.then(|| "2026-11-23".parse().unwrap());
            assert_eq!(row.date, day);
        }
        let asked = asked.lock().unwrap().clone();
        let expected: &[bool] = if may_include {
            &[true, true]
        } else {
            &[true, false, false]
        };
        assert_eq!(asked, expected);
    }
}
