//! Events as text.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use comfy_table::Table;
use serde_json::Value;

use markback::{
    overview::PauseOverview,
    store::{CorrectionRecord, EventRecord, EventState},
};
use markback_console::output;

/// The longest reason in a table, in characters.
const REASON_MAX: usize = 90;

/// A line for each event.
pub(super) fn table(events: &[EventRecord]) -> Table {
    let rows = events.iter().map(|event| {
        [
            event.school.clone(),
            event.id.clone(),
            event.person.clone(),
            what(event),
            event.state.as_str().to_owned(),
            place(event),
            clip(&reason(event)),
        ]
    });
    output::table(
        ["school", "event", "person", "what", "state", "for", "why"],
        rows,
    )
}

/// The text below the table.
pub(super) fn footer(events: &[EventRecord], pauses: &[PauseOverview], limit: u32) -> String {
    let mut text = match events.len() {
        1 => "1 event".to_owned(),
        some => format!("{some} events"),
    };
    if u32::try_from(events.len()).is_ok_and(|count| count >= limit) {
        text.push_str("; there may be more, see --limit");
    }
    if events.iter().any(|event| event.state.may_be_retried()) {
        text.push_str(
            "\nfailed, rejected and unconfirmed events need an operator: `markback events show` shows the reason and what to do",
        );
    }
    for pause in pauses {
        let _ = write!(text, "\n{}", pause.line());
    }
    text
}

/// All details of an event.
pub(super) fn whole(event: &EventRecord) -> String {
    let mut text = format!(
        "{} of person {} at school {}: {}\n",
        what(event),
        event.person,
        event.school,
        event.state.as_str()
    );
    for (name, value) in [
        ("why", Some(reason(event)).filter(|why| !why.is_empty())),
        ("to do", event.advice.map(str::to_owned)),
        ("for", Some(place(event)).filter(|place| !place.is_empty())),
        ("mark", mark(event)),
        ("settings", event.settings.clone()),
        ("pupil at Wonde", event.student.clone()),
        ("withdrawn", event.correction.as_ref().map(withdrawn)),
        ("replaces", event.corrects.clone()),
        ("writeback", event.writeback_id.clone()),
        ("lesson", event.lesson_id.clone()),
        (
            "tried again",
            match event.round {
                0 => None,
                1 => Some("once".to_owned()),
                rounds => Some(format!("{rounds} times")),
            },
        ),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    if !event.steps.is_empty() {
        text.push_str("steps of the decision:\n");
        for (number, step) in (1..).zip(&event.steps) {
            let _ = writeln!(text, "  {number}. {step}");
        }
    }
    text.push_str("history:\n");
    let _ = writeln!(text, "  {}  received", time(event.received_at));
    if event.state == EventState::Skipped {
        let _ = writeln!(
            text,
            "  {}  decided: nothing to write",
            time(event.decided_at)
        );
    }
    for line in &event.history {
        let _ = writeln!(
            text,
            "  {}  {}{}",
            time(line.at),
            line.what,
            particulars(&line.record)
        );
    }
    text.trim_end().to_owned()
}

/// Why an event was withdrawn, and what replaces it.
fn withdrawn(correction: &CorrectionRecord) -> String {
    let CorrectionRecord {
        reason,
        replacement,
        ..
    } = correction;
    match replacement {
        Some(replacement) => format!("{reason}; {replacement} replaces it"),
        None => reason.clone(),
    }
}

/// `sign_in at 2026-11-23T08:41:00Z`.
fn what(event: &EventRecord) -> String {
    let text = |name: &str| {
        event
            .event
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    format!("{} at {}", text("kind").replace('_', " "), text("at"))
}

fn place(event: &EventRecord) -> String {
    [event.date.as_deref(), event.session.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The reason for its state.
fn reason(event: &EventRecord) -> String {
    let told = event.waiting.as_ref().or(event.outcome.as_ref());
    told.or(event.steps.last()).cloned().unwrap_or_default()
}

/// The decided mark, as short text.
fn mark(event: &EventRecord) -> Option<String> {
    let planned = event
        .history
        .iter()
        .rev()
        .find(|line| line.record.get("code").is_some())?;
    let field = |name: &str| {
        planned
            .record
            .get(name)
            .filter(|value| !value.is_null())
            .map(plain)
    };
    let mut text = field("code")?;
    if let Some(minutes) = field("minutes_late") {
        let _ = write!(text, ", {minutes} minutes late");
    }
    if let Some(comment) = field("comment") {
        let _ = write!(text, ", \"{comment}\"");
    }
    Some(text)
}

/// The most important properties of a line of the audit trail.
fn particulars(record: &Value) -> String {
    let mut text = String::new();
    for name in ["code", "rule", "writeback_id", "by", "via", "why", "note"] {
        if let Some(value) = record.get(name).filter(|value| !value.is_null()) {
            let value = plain(value);
            let _ = write!(text, "  {}: {value}", name.replace('_', " "));
        }
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "?".to_owned(),
        |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
