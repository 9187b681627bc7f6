//! What became of an event, in sentences that an office can pass on.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use markback::{
    day::DayEvent,
    service::{EventRecord, EventState},
};
use mis_core::EventKind;
use serde_json::Value;

use super::{
    reason::reason,
    state::Outcome,
    time::{clock, clock_to_the_second},
};

/// What a page tells about an event.
#[derive(Clone)]
pub struct Story {
    /// What happened and what became of it.
    pub sentence: String,
    /// What somebody can do, if anything.
    pub advice: Option<&'static str>,
    /// The answers that the person gave: question and answer.
    pub answers: Vec<(String, String)>,
    /// The steps of the decision.
    pub steps: Vec<String>,
    /// Further facts: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// What was done, oldest first.
    pub history: Vec<History>,
}

/// A line of an event's history.
#[derive(Clone)]
pub struct History {
    /// When.
    pub time: String,
    /// What was done.
    pub what: String,
    /// Details: names and values.
    pub details: Vec<(String, String)>,
}

impl Story {
    /// Tells about an event of somebody who is called so.
    pub fn of(called: &str, event: &DayEvent, record: &EventRecord, timezone: Tz) -> Self {
        Self {
            sentence: sentence(called, event, record, timezone),
            advice: record.advice,
            answers: answers(record),
            steps: record.steps.clone(),
            facts: facts(record, timezone),
            history: history(record, timezone),
        }
    }
}

/// Why somebody has the mark that they have, or none, in one sentence about their day; and what it is about.
///
/// What needs a person comes first, then what is on its way, then the latest mark. `none_because` is why there is none even
/// without an event.
pub fn headline(
    called: &str,
    records: &[(&DayEvent, EventRecord)],
    timezone: Tz,
    none_because: Option<String>,
) -> (String, Outcome) {
    let rank = |state| match Outcome::of(state) {
        Outcome::Needs => 0,
        Outcome::Held => 1,
        Outcome::OnItsWay => 2,
        Outcome::Done => 3,
        Outcome::Nothing => 4,
    };
    // Of several, the latest.
    let first = records
        .iter()
        .rev()
        .min_by_key(|(event, _)| rank(event.state));
    match (first, none_because) {
        (Some((event, record)), _) => (
            sentence(called, event, record, timezone),
            Outcome::of(event.state),
        ),
        (None, Some(why)) => (
            format!("{called} has not signed in or out, and {why}."),
            Outcome::Nothing,
        ),
        (None, None) => (
            format!("{called} has not signed in or out, so no mark was written."),
            Outcome::Nothing,
        ),
    }
}

fn sentence(called: &str, event: &DayEvent, record: &EventRecord, timezone: Tz) -> String {
    let did = match event.kind {
        EventKind::SignIn => "signed in",
        EventKind::SignOut => "signed out",
    };
    let began = format!("{called} {did} at {}", clock(event.at, timezone));
    let mark = mark(record);
    let outcome = record
        .outcome
        .as_deref()
        .map(sentence_end)
        .unwrap_or_default();
    let waiting = record.waiting.as_deref().map(sentence_end);
    let at = |at: Option<DateTime<Utc>>| at.map(|at| clock(at, timezone)).unwrap_or_default();
    match record.state {
        EventState::Received => match waiting {
            Some(why) => format!("{began}. What becomes of it is not decided yet: {why}"),
            None => format!("{began}. What becomes of it is decided in a moment."),
        },
        EventState::Skipped => match event.reason {
            Some(why) => format!("{began}, and no mark was written: {}.", reason(why)),
            None => format!("{began}, and no mark was written."),
        },
        EventState::Held => {
            let why = record
                .decision
                .as_ref()
                .and_then(|decision| decision["hold"].as_str());
            let why = why.map_or_else(String::new, |why| format!(", because {why}"));
            format!("{began}. The mark {mark} waits until somebody in the office releases it{why}.")
        }
        EventState::Planned => match waiting {
            Some(why) => format!("{began}, so the mark is {mark}. It has not been sent yet: {why}"),
            None => format!("{began}, so the mark is {mark}. It is about to be sent."),
        },
        EventState::Sent => format!(
            "{began}, so the mark is {mark}. It was sent at {}, and the answer is not known yet.",
            at(record.sent_at)
        ),
        EventState::Accepted => format!(
            "{began}, so the mark is {mark}. Wonde took it at {} and passes it on to the MIS.",
            at(record.accepted_at)
        ),
        EventState::Confirmed => format!(
            "{began}, so the mark is {mark}. It has been in the register since {}.",
            at(record.settled_at)
        ),
        EventState::Rejected => format!("{began}. The mark {mark} was rejected: {outcome}"),
        EventState::Unconfirmed => format!(
            "{began}. The mark {mark} was sent, but it is not known to be in the register: {outcome}"
        ),
        EventState::Superseded => {
            format!("{began}. A later event took the place of its mark {mark} before it was sent.")
        }
        EventState::Failed => format!("{began}, and no mark could be written: {outcome}"),
        EventState::Discarded => {
            format!("{began}. It was set aside, so nothing is written: {outcome}")
        }
        EventState::Withdrawn => format!("{began}. This was a mistake and has been withdrawn."),
    }
}

/// The mark in words: `U, 74 minutes late`.
fn mark(record: &EventRecord) -> String {
    let mark = record.decision.as_ref().map(|decision| &decision["mark"]);
    let Some(code) = mark.and_then(|mark| mark["code"].as_str()) else {
        return "not known".to_owned();
    };
    match mark.and_then(|mark| mark["minutes_late"].as_u64()) {
        Some(1) => format!("{code}, 1 minute late"),
        Some(minutes) => format!("{code}, {minutes} minutes late"),
        None => code.to_owned(),
    }
}

/// A text as the end of a sentence.
fn sentence_end(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    format!("{text}.")
}

fn answers(record: &EventRecord) -> Vec<(String, String)> {
    let answers = record.event["answers"].as_object();
    let answers = answers.into_iter().flatten();
    answers
        .filter_map(|(question, answer)| Some((question.clone(), answer.as_str()?.to_owned())))
        .collect()
}

fn facts(record: &EventRecord, timezone: Tz) -> Vec<(&'static str, String)> {
    let time = |at: Option<DateTime<Utc>>| at.map(|at| clock_to_the_second(at, timezone));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let decision = record.decision.as_ref();
    let facts = [
        (
            "Comment",
            decision.and_then(|decision| text(&decision["mark"]["comment"])),
        ),
        (
            "Why nothing is written",
            decision.and_then(|decision| text(&decision["detail"])),
        ),
        (
            "Why it waits",
            decision.and_then(|decision| text(&decision["hold"])),
        ),
        ("Rules", record.settings.as_deref().map(rules)),
        ("Received", time(record.received_at)),
        ("Decided", time(record.decided_at)),
        ("Sent", time(record.sent_at)),
        ("Accepted by Wonde", time(record.accepted_at)),
        ("Settled", time(record.settled_at)),
        ("Waits for", record.waiting.clone()),
        ("The MIS’s answer", record.outcome.clone()),
        ("Writeback", record.writeback_id.clone()),
        ("Lesson", record.lesson_id.clone()),
        ("Corrects the event", record.corrects.clone()),
        (
            "Tried again",
            (record.round > 0)
                .then(|| super::count(record.round.try_into().unwrap_or(usize::MAX), "time")),
        ),
    ];
    let known = facts.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// The version of the settings in words.
fn rules(version: &str) -> String {
    match version.split_once(' ') {
        Some(("store", number)) => format!("version {number}"),
        Some(("file", hash)) => format!("the settings file ({hash})"),
        _ => version.to_owned(),
    }
}

fn history(record: &EventRecord, timezone: Tz) -> Vec<History> {
    record
        .history
        .iter()
        .map(|line| History {
            time: line
                .at
                .map(|at| clock_to_the_second(at, timezone))
                .unwrap_or_default(),
            what: line.what.replace('_', " "),
            details: details(&line.record),
        })
        .collect()
}

/// The details of a line of the history: what is not empty, on one level.
fn details(record: &Value) -> Vec<(String, String)> {
    let fields = record.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| {
            let value = match value {
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
                Value::String(text) if text.is_empty() => return None,
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
            };
            Some((name.replace('_', " "), value))
        })
        .collect()
}
