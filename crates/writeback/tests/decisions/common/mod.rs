//! A school for tests: its settings come as TOML and its events as JSON, as they do in life.
use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::{Europe::London, Tz};
use mis_core::{Ability, AttendanceCode, Capabilities, Code, CodeBook, HeldCode};
use serde::Deserialize;
use writeback::{
    Arrival, Decision, DecisionOutcome, Event, GroupContext, Previous, RegisterMark,
    RegisterSource, RegisterView, Rules, SchoolDay, Standing, View, Withdrawn, decide,
    settings::{Field, GroupKind, WritebackSettings},
};

/// Keeps everything.
pub(crate) const FULL: Capabilities = Capabilities::SESSION_MARKS
    .with(Ability::Comment)
    .with(Ability::MinutesLate)
    .with(Ability::EarlyLeaver);

/// Marks on the first lesson, none for a sign-out.
pub(crate) const FIRST_LESSON: Capabilities = Capabilities::FIRST_LESSON_MARKS
    .with(Ability::Comment)
    .with(Ability::MinutesLate);

/// The code and nothing with it.
pub(crate) const CODE_ONLY: Capabilities = Capabilities::SESSION_MARKS.with(Ability::EarlyLeaver);

/// The group of the worked example.
pub(crate) const EXAMPLE: &str = r#"
    [[field]]
    name = "Reason for being late"
    on = "sign_in"
    options = ["Bus", "Overslept", "M - Medical appointment", "Drop-off was late",
        { text = "Missed the bus", code = "l" },
        { text = "E-scooter broke down", code = false },
        { text = "A code of our own", code = "QQ" },
        { text = "Sent on an errand", write = false }]

    [[field]]
    name = "Reason for leaving"
    on = "sign_out"
    options = ["M - Dentist", "M – Dentist", "m — Dentist", "C1 – On stage", "Home"]

    [writeback]
    present = true
    closes = "15:30"
    protected = ["/", "\\", "M"]
    am = { late = "09:00", unauthorised = "09:20" }
    pm = { late = "13:00", unauthorised = "13:15" }
    custom_codes = { sign_in = "Reason for being late", sign_out = "Reason for leaving" }
    comment = { sign_in = "Reason for being late" }
"#;

/// What the settings of a group hold as far as the rules need it.
#[derive(Deserialize)]
pub(crate) struct GroupSettings {
    #[serde(default, rename = "field")]
    pub(crate) fields: Vec<Field>,
    pub(crate) writeback: WritebackSettings,
}

pub(crate) fn group(toml: &str) -> GroupSettings {
    toml::from_str(toml).unwrap()
}

/// The worked example's group with other settings: each line replaces the one that begins with the same key.
pub(crate) fn example_with(lines: &[&str]) -> String {
    let key = |line: &str| {
        line.trim()
            .split([' ', '='])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let (fields, writeback) = EXAMPLE.split_once("[writeback]").unwrap();
    let kept = writeback
        .lines()
        .filter(|line| lines.iter().all(|other| key(other) != key(line)));
    let kept: Vec<_> = kept.chain(lines.iter().copied()).collect();
    format!("{fields}[writeback]\n{}", kept.join("\n"))
}

/// England's codes, with the ids a school would have.
pub(crate) fn school_book() -> CodeBook {
    CodeBook::new(CodeBook::england().iter().map(|line| AttendanceCode {
        id: Some(format!("id of {}", line.code).as_str().into()),
        ..line.clone()
    }))
}

#[derive(Clone, Debug)]
pub(crate) struct School {
    pub(crate) kind: GroupKind,
    pub(crate) rules: Option<Rules>,
    pub(crate) capabilities: Capabilities,
    pub(crate) quirks: mis_core::Quirks,
    pub(crate) book: CodeBook,
    pub(crate) timezone: Tz,
    pub(crate) register: RegisterView,
    pub(crate) arrival: Option<Arrival>,
    pub(crate) previous: Option<Previous>,
    pub(crate) refused_with: Vec<Ability>,
    pub(crate) planned_before: bool,
    pub(crate) standing: Standing,
    pub(crate) school_day: SchoolDay,
    pub(crate) released: bool,
    pub(crate) withdrawn: Option<Withdrawn>,
}

impl School {
    /// A school with one group of students. The settings must be sound.
    pub(crate) fn new(toml: &str) -> Self {
        let GroupSettings { fields, writeback } = group(toml);
        // Checked without a book: a school's book may change after its settings were read.
        let checked = Rules::check(GroupKind::Students, &fields, &writeback, None);
        assert_eq!(checked.problems, []);
        Self::of(checked.rules.expect("there is no problem"))
    }

    pub(crate) fn of(rules: Rules) -> Self {
        Self {
            kind: GroupKind::Students,
            rules: Some(rules),
            capabilities: FULL,
            quirks: mis_core::Quirks::NONE,
            book: school_book(),
            timezone: London,
            register: looked(None),
            arrival: None,
            previous: None,
            refused_with: Vec::new(),
            planned_before: false,
            standing: Standing::default(),
            school_day: SchoolDay::NoCalendar,
            released: false,
            withdrawn: None,
        }
    }

    pub(crate) fn example() -> Self {
        Self::new(EXAMPLE)
    }

    pub(crate) fn with(lines: &[&str]) -> Self {
        Self::new(&example_with(lines))
    }

    pub(crate) fn keeping(self, capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            ..self
        }
    }

    /// With a register that holds this code, or nothing for `""` or `"-"`.
    pub(crate) fn holding(self, code: &str) -> Self {
        let code = Some(code).filter(|code| !["", "-"].contains(code));
        Self {
            register: looked(code.map(|code| held(code, None, None))),
            ..self
        }
    }

    pub(crate) fn seeing(self, register: RegisterView) -> Self {
        Self { register, ..self }
    }

    pub(crate) fn after(self, event: &str, at: &str) -> Self {
        let at = DateTime::parse_from_rfc3339(at).unwrap();
        Self {
            arrival: Some(Arrival {
                event: event.into(),
                at,
            }),
            ..self
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            capabilities: self.capabilities,
            refused_with: &self.refused_with,
            quirks: self.quirks,
            codes: &self.book,
            register: self.register.clone(),
            arrival: self.arrival.clone(),
            previous: self.previous.clone(),
            planned_before: self.planned_before,
            standing: self.standing.clone(),
            school_day: self.school_day.clone(),
            released: self.released,
            withdrawn: self.withdrawn.clone(),
            timezone: self.timezone,
        }
    }

    pub(crate) fn decide(&self, event: &Event) -> Decision {
        let group = GroupContext {
            name: "Years 7-11",
            kind: self.kind,
            rules: self.rules.as_ref(),
        };
        decide(event, &"A123".into(), Some(group), &self.view())
    }

    /// The outcome in one line: see [`brief`].
    pub(crate) fn brief(&self, event: &Event) -> String {
        brief(&self.decide(event))
    }
}

/// `L AM 7 "Bus"` for a mark, the reason for a skip, `wait`.
pub(crate) fn brief(decision: &Decision) -> String {
    match &decision.outcome {
        DecisionOutcome::Write(planned) => {
            let mark = &planned.mark;
            let session = format!("{:?}", mark.session).to_uppercase();
            let minutes = mark
                .minutes_late
                .map(|minutes| format!(" {minutes}"))
                .unwrap_or_default();
            let comment = mark
                .comment
                .as_ref()
                .map(|comment| format!(" {comment:?}"))
                .unwrap_or_default();
            format!("{} {session}{minutes}{comment}", mark.code)
        }
        DecisionOutcome::Skip { reason, .. } => reason.as_str().to_owned(),
        DecisionOutcome::Wait { .. } => "wait".to_owned(),
        DecisionOutcome::Fail { .. } => "fail".to_owned(),
    }
}

pub(crate) fn held(code: &str, comment: Option<&str>, minutes_late: Option<u32>) -> RegisterMark {
    RegisterMark {
        code: HeldCode::Known(Code::new(code)),
        comment: comment.map(str::to_owned),
        minutes_late,
    }
}

pub(crate) fn looked(held: Option<RegisterMark>) -> RegisterView {
    RegisterView::Looked {
        held,
        source: RegisterSource::Wonde,
        age: Some(TimeDelta::minutes(12)),
    }
}

/// The register as our own record has it.
pub(crate) fn by_our_record(held: Option<RegisterMark>) -> RegisterView {
    RegisterView::Looked {
        held,
        source: RegisterSource::OurLedger,
        age: Some(TimeDelta::minutes(12)),
    }
}

pub(crate) fn cannot_look() -> RegisterView {
    RegisterView::CannotLook {
        why: "Wonde does not answer".into(),
    }
}

/// An event on Monday 23 November 2026 at this UTC time, which is London's then; `kind` is "in" or "out", and an answer
/// goes to the field asked there.
pub(crate) fn event(kind: &str, time: &str, answer: &str) -> Event {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    event_at(kind, &format!("2026-11-23T{time}{seconds}Z"), answer)
}

pub(crate) fn event_at(kind: &str, at: &str, answer: &str) -> Event {
    let field = if kind == "in" {
        "Reason for being late"
    } else {
        "Reason for leaving"
    };
    let answers: BTreeMap<_, _> = (!answer.is_empty())
        .then_some((field, answer))
        .into_iter()
        .collect();
    serde_json::from_value(serde_json::json!({
        "id": "e1", "person": "A123", "kind": format!("sign_{kind}"), "at": at, "answers": answers,
    }))
    .unwrap()
}

/// The instant of a local time, in whatever offset holds there and then.
pub(crate) fn instant(local: NaiveDateTime, timezone: Tz) -> Option<DateTime<FixedOffset>> {
    timezone
        .from_local_datetime(&local)
        .earliest()
        .map(|at| at.fixed_offset())
}
