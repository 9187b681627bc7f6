//! What holds for any event, any view and any settings.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::common::{self, School, brief, by_our_record, cannot_look, held, instant, looked};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use mis_core::{Ability, Capabilities, Code, EventKind, HeldCode, SessionWriteback};
use proptest::{option, prelude::*, sample::select};
use writeback::{
    Arrival, CalendarSource, ChosenMark, Decision, DecisionOutcome, Event, PlannedMark, Previous,
    RegisterMark, RegisterView, Rule, Rules, SchoolDay, SkipReason, Standing, check_answers,
};

const ZONES: [Tz; 6] = [
    Tz::Europe__London,
    Tz::Asia__Dubai,
    Tz::America__New_York,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
];

const ANSWERS: [&str; 12] = [
    "",
    "Bus",
    "Overslept",
    "M - Medical appointment",
    "Drop-off was late",
    "Missed the bus",
    "E-scooter broke down",
    "A code of our own",
    "Sent on an errand",
    "M – Dentist",
    "C1 – On stage",
    "Home",
];

/// Settings that differ in what the properties speak of.
const SETTINGS: [&[&str]; 8] = [
    &[],
    &["present = false"],
    &["leaver_code = 'i'", "protected = ['/', 'm', 'N']"],
    &["protected = []"],
    &["protect_on = ['sign_in']", "leaver_code = 'C'"],
    &[
        "first_arrival_stands = false",
        "am = { starts = '08:50', late = '09:00' }",
    ],
    &["am = { unauthorised = '09:20' }", "minutes_late = false"],
    &[
        "days = ['mon', 'sat']",
        "closed = ['2026-11-23']",
        "pm = { opens = '12:30' }",
    ],
];

/// The rules of the settings, compiled once for all cases.
static RULES: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    let rules = SETTINGS.iter().map(|lines| School::with(lines).rules);
    rules.collect::<Option<_>>().unwrap()
});

fn school(settings: usize) -> School {
    School::of(RULES[settings].clone())
}

/// The protected codes of each of the settings, and the events they hold for.
fn protected(settings: usize, kind: EventKind) -> &'static [&'static str] {
    match (settings, kind) {
        (2, _) => &["/", "M", "N"],
        (3, _) | (4, EventKind::SignOut) => &[],
        _ => &["/", "\\", "M"],
    }
}

fn any_capabilities() -> impl Strategy<Value = Capabilities> {
    let places = [
        SessionWriteback::No,
        SessionWriteback::Session,
        SessionWriteback::FirstLesson,
    ];
    (
        select(places.to_vec()),
        any::<[bool; 4]>(),
        option::of(0..30u16),
    )
        .prop_map(
            |(session, [comment, minutes_late, early_leaver, roster], comment_max)| {
                let mut capabilities = Capabilities::default();
                capabilities.session = session;
                capabilities.comment = comment;
                capabilities.minutes_late = minutes_late;
                capabilities.early_leaver = early_leaver;
                capabilities.comment_max = comment_max;
                capabilities.roster = roster;
                capabilities
            },
        )
}

fn any_held() -> impl Strategy<Value = RegisterMark> {
    let code = prop_oneof![
        9 => select(vec!["/", "\\", "M", "m", "L", "U", "N", "I", "no such"])
            .prop_map(|code| HeldCode::Known(Code::new(code))),
        1 => Just(HeldCode::Unreadable("X9".into())),
    ];
    let comment = option::of(select(ANSWERS.to_vec()).prop_map(str::to_owned));
    (code, comment, option::of(0..200u32)).prop_map(|(code, comment, minutes_late)| RegisterMark {
        code,
        comment,
        minutes_late,
    })
}

fn any_register() -> impl Strategy<Value = RegisterView> {
    prop_oneof![
        8 => option::of(any_held()).prop_map(looked),
        1 => Just(cannot_look()),
    ]
}

fn any_school_day() -> impl Strategy<Value = SchoolDay> {
    prop_oneof![
        8 => Just(SchoolDay::NoCalendar),
        4 => Just(SchoolDay::Open),
        1 => Just(SchoolDay::Unknown { why: "it could not be read".into() }),
        1 => Just(SchoolDay::Closed { why: "half term".into(), source: CalendarSource::Settings }),
    ]
}

/// An instant of the weeks around a change of the clocks, mostly in school hours.
fn any_at() -> impl Strategy<Value = DateTime<chrono::FixedOffset>> {
    let start = DateTime::parse_from_rfc3339("2026-10-19T00:00:00Z").unwrap();
    let seconds = prop_oneof![
        (0..40i64, 7 * 3600..17 * 3600i64).prop_map(|(day, second)| day * 86_400 + second),
        0..40 * 86_400i64,
    ];
    (seconds, 0..1000i64).prop_map(move |(seconds, millis)| {
        start + TimeDelta::seconds(seconds) + TimeDelta::milliseconds(millis)
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![Just(EventKind::SignIn), Just(EventKind::SignOut)];
    let flags = (
        proptest::bool::weighted(0.05),
        proptest::bool::weighted(0.05),
    );
    (kind, any_at(), select(ANSWERS.to_vec()), flags).prop_map(
        |(kind, at, answer, (automatic, remote))| {
            event(
                kind,
                at,
                BTreeMap::from([(field(kind).to_owned(), answer.to_owned())]),
                automatic,
                remote,
            )
        },
    )
}

fn field(kind: EventKind) -> &'static str {
    match kind {
        EventKind::SignIn => "Reason for being late",
        EventKind::SignOut => "Reason for leaving",
    }
}

fn event(
    kind: EventKind,
    at: DateTime<chrono::FixedOffset>,
    answers: BTreeMap<String, String>,
    automatic: bool,
    remote: bool,
) -> Event {
    Event {
        id: "e1".into(),
        person: "A123".into(),
        kind_of_person: None,
        kind,
        at,
        answers,
        automatic,
        remote,
    }
}

fn sign_in(at: DateTime<chrono::FixedOffset>) -> Event {
    event(EventKind::SignIn, at, BTreeMap::new(), false, false)
}

prop_compose! {
    fn any_school()(
        settings in 0..SETTINGS.len(),
        capabilities in any_capabilities(),
        register in any_register(),
        arrival in option::of((select(vec!["e0", "e1"]), any_at())),
        clock in option::of((select(vec!["e0", "e1"]), any_at())),
        chosen in option::of((any_at(), select(vec!["M", "I", "7"]))),
        planned_before in any::<bool>(),
        school_day in any_school_day(),
        released in any::<bool>(),
    ) -> (usize, School) {
        let arrival_of = |(event, at): (&str, _)| Arrival { event: event.into(), at };
        let arrival = arrival.map(arrival_of);
        let standing = Standing {
            clock: clock.map(arrival_of),
            chosen: chosen.map(|(at, code)| ChosenMark {
                event: "e2".into(),
                at,
                kind: EventKind::SignOut,
                rule: Rule::CustomCode,
                code: code.into(),
                comment: None,
            }),
        };
        let school = school(settings).keeping(capabilities).seeing(register);
        (settings, School { arrival, standing, planned_before, school_day, released, ..school })
    }
}

/// A school and an event, some with another event of the person shortly before.
fn any_case() -> impl Strategy<Value = ((usize, School), Event)> {
    let kind = select(vec![EventKind::SignIn, EventKind::SignOut]);
    let previous = option::of((kind, 0..120i64));
    (any_school(), any_event(), previous).prop_map(|((settings, school), event, previous)| {
        let previous = previous.map(|(kind, seconds)| Previous {
            event: "e3".into(),
            kind,
            at: event.at - TimeDelta::seconds(seconds),
        });
        ((settings, School { previous, ..school }), event)
    })
}

/// Settings under which the order of delivery does not matter: no code is protected, for what protects is what the register
/// holds at that moment, and for every sign-in there is a code, for no mark can be taken back.
///
/// Double taps are switched off: of three taps, which counts hangs on which was known when.
const ORDERED: [&[&str]; 3] = [
    &["protected = []", "shortest_stay = 0"],
    &["protected = []", "leaver_code = 'I'", "shortest_stay = 0"],
    &[
        "protected = []",
        "leaver_code = 'C'",
        "first_arrival_stands = false",
        "shortest_stay = 0",
    ],
];

/// The same for a school that writes no present marks but where it must: after a sign-out of ours.
const WITHOUT_PRESENT: &[&str] = &[
    "protected = []",
    "leaver_code = 'I'",
    "present = false",
    "comment = {}",
    "shortest_stay = 0",
];

/// A pupil's events of one morning in the order in which they happened, and the same as they were delivered.
fn a_morning() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    let kind = prop_oneof![2 => Just(EventKind::SignIn), 1 => Just(EventKind::SignOut)];
    let answer = prop_oneof![2 => Just(""), 1 => select(ANSWERS.to_vec())];
    let events = proptest::collection::btree_map(8 * 3600..12 * 3600u32, (kind, answer), 1..7);
    events.prop_flat_map(|events| {
        let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        let in_order: Vec<_> = events
            .into_iter()
            .map(|(second, (kind, answer))| {
                let time = NaiveTime::from_num_seconds_from_midnight_opt(second, 0).unwrap();
                let at = instant(date.and_time(time), Tz::Europe__London).unwrap();
                let answers = BTreeMap::from([(field(kind).to_owned(), answer.to_owned())]);
                Event {
                    id: format!("e{second}"),
                    ..event(kind, at, answers, false, false)
                }
            })
            .collect();
        (Just(in_order.clone()), Just(in_order).prop_shuffle())
    })
}

/// What the register holds when events have been decided one after the other.
fn register_after(
    settings: &[&str],
    capabilities: Capabilities,
    events: &[Event],
) -> Option<RegisterMark> {
    let mut school = School::with(settings).keeping(capabilities);
    let mut register = None;
    let mut told: Vec<&Event> = Vec::new();
    for event in events {
        school.previous = told
            .iter()
            .filter(|other| other.at <= event.at)
            .max_by_key(|other| other.at)
            .map(|other| Previous {
                event: other.id.clone(),
                kind: other.kind,
                at: other.at,
            });
        let decision = school.decide(event);
        if decision.skipped() != Some(SkipReason::DoubleTap) {
            told.push(event);
        }
        if let Some(PlannedMark { mark, .. }) = decision.planned() {
            register = Some(held(
                mark.code.as_str(),
                mark.comment.as_deref(),
                mark.minutes_late,
            ));
            school.register = by_our_record(register.clone());
        }
        if decision.arrival {
            school.arrival = Some(Arrival {
                event: event.id.clone(),
                at: event.at,
            });
        }
        if let Some(standing) = decision.standing {
            school.standing = standing;
        }
    }
    register
}

/// How hard a time-based code is on the pupil.
fn severity(decision: &Decision) -> u8 {
    match decision.planned().map(|planned| planned.rule) {
        Some(Rule::Late) => 1,
        Some(Rule::Unauthorised) => 2,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_protected_code_is_never_overwritten(((settings, school), event) in any_case()) {
        let protected = protected(settings, event.kind);
        let decision = school.decide(&event);
        if decision.planned().is_some() && !protected.is_empty() {
            let RegisterView::Looked { held, .. } = &school.register else {
                return Err(TestCaseError::fail("written unseen"));
            };
            match held.as_ref().map(|held| &held.code) {
                None => {}
                Some(HeldCode::Unreadable(_)) => prop_assert!(false, "written over a code that cannot be read"),
                Some(HeldCode::Known(code)) => {
                    prop_assert!(!protected.iter().any(|p| p.eq_ignore_ascii_case(code.as_str())), "over {code}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_written_outside_the_school_day(((settings, school), event) in any_case()) {
        if let Some(planned) = school.decide(&event).planned() {
            let local = event.at.with_timezone(&school.timezone).naive_local();
            prop_assert_eq!(planned.mark.date, local.date());
            prop_assert!((local.hour(), local.minute()) < (15, 30));
            let day = local.weekday().num_days_from_monday();
            if settings == 7 {
                prop_assert!([0, 5].contains(&day));
                prop_assert!(local.date() != NaiveDate::from_ymd_opt(2026, 11, 23).unwrap());
            } else {
                prop_assert!(day < 5);
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_answer(((settings, school), event) in any_case()) {
        let decision = school.decide(&event);
        let again = School { rules: School::with(SETTINGS[settings]).rules, ..school };
        prop_assert_eq!(again.decide(&event), decision);
    }

    #[test]
    fn a_planned_mark_has_no_part_that_the_mis_cannot_store(((_, school), event) in any_case()) {
        let decision = school.decide(&event);
        if let Some(planned) = decision.planned() {
            let (can, mark) = (school.capabilities, &planned.mark);
            prop_assert!(can.has(Ability::Session));
            prop_assert!(event.kind == EventKind::SignIn || can.early_leaver);
            prop_assert!(mark.minutes_late.is_none() || can.minutes_late);
            prop_assert!(mark.minutes_late != Some(0));
            let length = mark.comment.as_ref().map(|comment| comment.chars().count());
            prop_assert!(length.is_none() || can.comment);
            prop_assert!(length.zip(can.comment_max).is_none_or(|(length, max)| length <= usize::from(max)));
            prop_assert_eq!(school.book.find(mark.code.as_str()).map(|line| &line.code), Some(&mark.code));
        }
    }

    #[test]
    fn dropped_parts_would_be_in_the_full_mark(
        capabilities in any_capabilities(),
        event in any_event(),
    ) {
        let full = school(0).decide(&event);
        let less = school(0).keeping(capabilities).decide(&event);
        if let (Some(full), Some(planned)) = (full.planned(), less.planned()) {
            let (full, planned) = (&full.mark, &planned.mark);
            prop_assert_eq!(&full.code, &planned.code);
            prop_assert_eq!(less.dropped.contains(&Ability::Comment), full.comment != planned.comment);
            prop_assert_eq!(less.dropped.contains(&Ability::MinutesLate), full.minutes_late != planned.minutes_late);
        }
    }

    #[test]
    fn a_local_time_means_the_same_in_every_zone_and_season(
        day in 0..730i64,
        second in 0..86_400u32,
        zone in select(ZONES.to_vec()),
    ) {
        let time = NaiveTime::from_num_seconds_from_midnight_opt(second, 0).unwrap();
        let monday = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap();
        let date = monday + TimeDelta::days(day);
        let reference = monday + TimeDelta::days(day % 7);
        let in_utc = School { timezone: Tz::UTC, ..school(0) };
        let there = School { timezone: zone, ..school(0) };
        // Where the clocks go forward some local times do not exist.
        if let Some(at) = instant(date.and_time(time), zone) {
            let expected = brief(&in_utc.decide(&sign_in(instant(reference.and_time(time), Tz::UTC).unwrap())));
            let decision = there.decide(&sign_in(at));
            prop_assert_eq!(brief(&decision), expected);
            if let Some(planned) = decision.planned() {
                prop_assert_eq!(planned.mark.date, date);
            }
            // The offset that the event is written with says nothing.
            let elsewhere = there.decide(&sign_in(at.with_timezone(&Tz::Asia__Kathmandu).fixed_offset()));
            prop_assert_eq!(elsewhere, decision);
        }
    }

    #[test]
    fn a_later_sign_in_gets_no_milder_code(
        settings in 0..SETTINGS.len(),
        day in 0..40i64,
        (first, second) in (0..12 * 3600u32, 0..12 * 3600u32),
        afternoon in any::<bool>(),
    ) {
        let school = school(settings);
        let opens = 12 * 3600 + if settings == 7 { 1800 } else { 0 };
        let date = NaiveDate::from_ymd_opt(2026, 10, 19).unwrap() + TimeDelta::days(day);
        let in_session = |second: u32| if afternoon { opens + second % (15 * 3600 + 1800 - opens) } else { second };
        let decide = |second| {
            let time = NaiveTime::from_num_seconds_from_midnight_opt(in_session(second), 0).unwrap();
            school.decide(&sign_in(instant(date.and_time(time), school.timezone).unwrap()))
        };
        let (earlier, later) = match in_session(first) <= in_session(second) {
            true => (decide(first), decide(second)),
            false => (decide(second), decide(first)),
        };
        prop_assert!(severity(&earlier) <= severity(&later), "{earlier}\n{later}");
        let minutes = |decision: &Decision| decision.planned().and_then(|planned| planned.mark.minutes_late);
        prop_assert!(minutes(&earlier) <= minutes(&later), "{earlier}\n{later}");
    }

    /// Delivered in any order, one at a time, the earliest sign-in has the last word.
    #[test]
    fn the_order_of_delivery_does_not_matter(
        seconds in proptest::collection::btree_set(8 * 3600..11 * 3600u32, 1..6),
        turn in 0..6usize,
    ) {
        let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        let events: Vec<_> = seconds.iter().map(|second| {
            let time = NaiveTime::from_num_seconds_from_midnight_opt(*second, 0).unwrap();
            let at = instant(date.and_time(time), Tz::Europe__London).unwrap();
            Event { id: format!("e{second}"), ..sign_in(at) }
        }).collect();
        let mut school = school(3);
        let first_alone = brief(&school.decide(&events[0]));
        let mut delivered = events;
        let turn = turn % delivered.len();
        delivered.rotate_left(turn);
        let mut last = None;
        for event in delivered {
            let decision = school.decide(&event);
            if let Some(planned) = decision.planned() {
                let mark = &planned.mark;
                school.register = looked(Some(held(mark.code.as_str(), None, mark.minutes_late)));
                last = Some(brief(&decision));
            }
            if decision.arrival {
                school.arrival = Some(Arrival { event: event.id, at: event.at });
            }
        }
        prop_assert_eq!(last, Some(first_alone));
    }

    /// Delivered in any order, each decided after what the one before had written was taken: the register ends as if they
    /// had come in the order in which they happened.
    #[test]
    fn events_delivered_late_leave_the_same_mark(
        (settings, capabilities) in (0..ORDERED.len(), prop_oneof![Just(common::FULL), Just(common::CODE_ONLY), any_capabilities()]),
        (in_order, delivered) in a_morning(),
    ) {
        let expected = register_after(ORDERED[settings], capabilities, &in_order);
        let found = register_after(ORDERED[settings], capabilities, &delivered);
        prop_assert_eq!(found, expected, "{:#?}", delivered);
    }

    /// The same without present marks. Where in the right order nothing would have been written, what a wrong order wrote
    /// stays: no mark can be taken back.
    #[test]
    fn a_return_delivered_late_or_early_leaves_the_same_mark((in_order, delivered) in a_morning()) {
        let expected = register_after(WITHOUT_PRESENT, common::FULL, &in_order);
        let found = register_after(WITHOUT_PRESENT, common::FULL, &delivered);
        if expected.is_some() {
            prop_assert_eq!(found, expected, "{:#?}", delivered);
        }
    }

    /// Of an event and a double tap of it, delivered in either order, the first counts.
    #[test]
    fn a_double_tap_leaves_no_mark(
        (second, apart) in (8 * 3600..12 * 3600u32 - 60, 1..60u32),
        kinds in select(vec![("in", "out"), ("out", "in")]),
        present in any::<bool>(),
    ) {
        let settings: &[&str] = &["protected = []", "leaver_code = 'I'", &format!("present = {present}")];
        let at = |second: u32| format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let tap = |kind, second| Event { id: format!("e{second}"), ..common::event(kind, &at(second), "") };
        let (first, again) = (tap(kinds.0, second), tap(kinds.1, second + apart));
        let alone = register_after(settings, common::FULL, std::slice::from_ref(&first));
        let in_order = register_after(settings, common::FULL, &[first.clone(), again.clone()]);
        prop_assert_eq!(&in_order, &alone);
        let reversed = register_after(settings, common::FULL, &[again, first]);
        // Where nothing was to be written, a mark that a wrong order wrote is corrected to the present mark, or stays.
        if alone.is_some() {
            prop_assert_eq!(reversed, alone);
        } else if kinds.1 == "out" {
            prop_assert_eq!(reversed.map(|held| held.code), Some(HeldCode::Known("/".into())));
        }
    }

    #[test]
    fn the_same_mark_is_not_written_twice(((_, school), event) in any_case()) {
        if let Some(planned) = school.decide(&event).planned() {
            let mark = &planned.mark;
            let school = school.seeing(looked(Some(held(mark.code.as_str(), mark.comment.as_deref(), mark.minutes_late))));
            let again = school.decide(&event).skipped();
            // A present mark that replaced a sign-out's mark is not written again where present marks are off.
            let reason = SkipReason::PresentWritebackOff;
            let expected = [SkipReason::AlreadyRecorded, SkipReason::Protected, reason];
            prop_assert!(again.is_some_and(|again| expected.contains(&again)), "{again:?}");
        }
    }

    #[test]
    fn no_text_and_no_time_makes_it_panic(
        texts in proptest::collection::btree_map(".{0,20}", ".{0,40}", 0..4),
        reason in prop_oneof![".{0,40}", "[A-Za-z0-9/# ]{0,3} ?[-–—] ?.{0,20}"],
        kind in prop_oneof![Just(EventKind::SignIn), Just(EventKind::SignOut)],
        utc in prop_oneof![
            any::<i64>(),
            Just(DateTime::<chrono::Utc>::MIN_UTC.timestamp()),
            Just(DateTime::<chrono::Utc>::MAX_UTC.timestamp()),
            0..4_000_000_000i64,
        ],
        nanos in 0..2_000_000_000u32,
        offset in -86_399..86_400i32,
        zone in select(ZONES.to_vec()),
    ) {
        let offset = chrono::FixedOffset::east_opt(offset).unwrap();
        if let Some(at) = DateTime::from_timestamp(utc, nanos) {
            let mut answers = texts;
            answers.insert(field(kind).to_owned(), reason);
            let event = Event { at: DateTime::from_naive_utc_and_offset(at.naive_utc(), offset), ..event(kind, at.fixed_offset(), answers, false, false) };
            let school = School { timezone: zone, ..school(0) };
            let decision = school.decide(&event);
            prop_assert!(!decision.steps.is_empty());
            let settings = common::group(common::EXAMPLE);
            let _ = (decision.to_string(), serde_json::to_string(&decision).unwrap(), check_answers(&event, &settings.fields));
            if let DecisionOutcome::Write(planned) = &decision.outcome {
                prop_assert!(school.book.find(planned.mark.code.as_str()).is_some());
            }
        }
    }

    #[test]
    fn no_event_text_makes_reading_panic(text in ".{0,60}", at in ".{0,30}") {
        let _ = serde_json::from_str::<Event>(&text);
        let json = serde_json::json!({"id": "e1", "person": text, "kind": "sign_in", "at": at});
        let _ = serde_json::from_value::<Event>(json);
    }

    /// On a closed day no mark is written and no arrival recorded; no other answer of the calendar changes a decision.
    #[test]
    fn only_a_closed_day_prevents_a_mark(((_, school), event) in any_case()) {
        let decision = school.decide(&event);
        let usual = School { school_day: SchoolDay::NoCalendar, ..school.clone() }.decide(&event);
        if matches!(school.school_day, SchoolDay::Closed { .. }) {
            prop_assert!(decision.planned().is_none() && !decision.arrival && decision.standing.is_none());
        } else {
            prop_assert_eq!(&decision.outcome, &usual.outcome);
        }
    }

    /// A hold changes nothing but whether the mark waits, and a released mark does not.
    #[test]
    fn a_hold_does_not_change_the_mark(((settings, school), event) in any_case(), released in any::<bool>()) {
        let mut lines = SETTINGS[settings].to_vec();
        lines.push("hold = { all = true }");
        let free = school.decide(&event);
        let held = School { rules: School::with(&lines).rules, released, ..school }.decide(&event);
        prop_assert_eq!(&held.outcome, &free.outcome);
        prop_assert_eq!(held.hold.is_some(), free.planned().is_some() && !released);
        prop_assert!(free.hold.is_none());
    }

    #[test]
    fn no_settings_text_makes_the_check_panic(time in ".{0,9}", code in ".{0,4}", name in ".{0,9}", option in ".{0,20}") {
        let mut settings: writeback::settings::WritebackSettings = toml::from_str("").unwrap();
        settings.closes = Some(time.as_str().into());
        settings.am.late = Some(time.as_str().into());
        settings.closed = vec![time.as_str().into()];
        settings.day = vec![writeback::settings::OtherDay {
            on: [time.as_str(), option.as_str()].into(),
            closes: Some(time.as_str().into()),
            ..Default::default()
        }];
        settings.hold = Some(writeback::settings::HoldSettings {
            codes: vec![code.clone()],
            lapse_after: Some(option.clone()),
            ..Default::default()
        });
        settings.days.push(time);
        settings.leaver_code = Some(code.clone());
        settings.protected = vec![code];
        settings.custom_codes.sign_in = Some(name.clone());
        let field = writeback::settings::Field { name, on: EventKind::SignIn, options: vec![option.as_str().into()] };
        let kind = writeback::settings::GroupKind::Students;
        let checked = writeback::Rules::check(kind, &[field], &settings, Some(&common::school_book()));
        prop_assert_eq!(checked.rules.is_none(), !checked.problems.is_empty());
    }
}

/// The strategies reach what the properties speak of: marks over protected and other codes, skips and waits alike.
#[test]
fn the_strategies_reach_every_outcome() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for _ in 0..20_000 {
        let ((_, school), event) = any_case().new_tree(&mut runner).unwrap().current();
        let outcome = school.decide(&event).outcome;
        reached.insert(match &outcome {
            DecisionOutcome::Write(planned) => planned.rule.as_str().to_owned(),
            DecisionOutcome::Skip { reason, .. } => reason.as_str().to_owned(),
            DecisionOutcome::Wait { .. } => "wait".to_owned(),
            DecisionOutcome::Fail { .. } => "fail".to_owned(),
        });
    }
    // No case here is a withdrawn event.
    let all = SkipReason::ALL.iter();
    for reason in all.filter(|reason| **reason != SkipReason::Withdrawn) {
        assert!(
            reached.contains(reason.as_str()),
            "{reason} is never reached: {reached:?}"
        );
    }
    for word in [
        "custom_code",
        "unauthorised",
        "late",
        "present",
        "leaver_code",
        "wait",
        "fail",
    ] {
        assert!(
            reached.contains(word),
            "{word} is never reached: {reached:?}"
        );
    }
}
