//! The output of a sync or a dry run.

use std::fmt::Write as _;

use mis_core::SchoolId;
use roster::{Change, ChangeKind, SyncOutcome};
use serde_json::{Value, json};

use markback::{
    store::{SyncRecord, SyncState},
    sync::summary,
};
use markback_console::output;

/// Whether names are shown besides ids.
#[derive(Clone, Copy)]
pub(super) struct Names(pub(super) bool);

/// The result of a dry run of one school.
pub(super) struct Preview {
    pub(super) school: SchoolId,
    pub(super) outcome: SyncOutcome,
}

/// The result of one school.
#[allow(
    clippy::large_enum_variant,
    reason = "there are as many as schools, and each is printed once"
)]
pub(super) enum Told {
    Preview(Preview),
    Sync(SyncRecord),
}

impl Told {
    /// Whether no action is needed.
    pub(super) fn is_well(&self) -> bool {
        match self {
            Self::Preview(preview) => !preview.outcome.report.is_held(),
            Self::Sync(record) => record.state == SyncState::Done,
        }
    }
}

/// The results for programs.
pub(super) fn json(results: &[Told], names: Names) -> Value {
    let schools: Vec<_> = results
        .iter()
        .map(|result| match result {
            Told::Sync(record) => json!(record),
            Told::Preview(preview) => json!({
                "school": preview.school,
                "dry_run": true,
                "report": summary(&preview.outcome.report),
                "changes": preview.outcome.changes.iter().map(|change| one(change, names)).collect::<Vec<_>>(),
            }),
        })
        .collect();
    json!({ "schools": schools })
}

/// One change, without the person's data unless names are requested.
fn one(change: &Change, names: Names) -> Value {
    let mut told = match &change.kind {
        ChangeKind::Joined { .. } => json!({"change": "joined"}),
        ChangeKind::Changed { fields, .. } => json!({"change": "changed", "fields": fields}),
        ChangeKind::Left { cause } => {
            json!({"change": "left", "cause": cause, "words": cause.to_string()})
        }
    };
    if let Some(fields) = told.as_object_mut() {
        fields.insert("group".to_owned(), json!(change.group));
        fields.insert("id".to_owned(), json!(change.person));
        if let Some(name) = name(change).filter(|_| names.0) {
            fields.insert("name".to_owned(), json!(name));
        }
    }
    told
}

fn name(change: &Change) -> Option<String> {
    let (ChangeKind::Joined { member } | ChangeKind::Changed { member, .. }) = &change.kind else {
        return None;
    };
    let names = [&member.person.forename, &member.person.surname];
    let names: Vec<_> = names.into_iter().flatten().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The results for people.
pub(super) fn text(results: &[Told], names: Names) -> String {
    let mut text = String::new();
    for result in results {
        if !text.is_empty() {
            text.push('\n');
        }
        match result {
            Told::Sync(record) => told(&mut text, record),
            Told::Preview(preview) => previewed(&mut text, preview, names),
        }
    }
    if results.is_empty() {
        text.push_str("no school in the settings has groups");
    }
    text.truncate(text.trim_end().len());
    text
}

fn told(text: &mut String, record: &SyncRecord) {
    let read = match record.extent.as_str() {
        "full" => "everything read",
        _ => "changes read",
    };
    let took = record.took_ms.map_or_else(String::new, |ms| {
        #[allow(
            clippy::cast_precision_loss,
            reason = "shown with one digit after the point"
        )]
        let seconds = ms as f64 / 1000.0;
        format!(" in {seconds:.1} s")
    });
    let _ = match record.state {
        SyncState::Done => writeln!(text, "{}: {read}{took}", record.school),
        SyncState::Held => writeln!(
            text,
            "{}: {read}{took}, but something is held back",
            record.school
        ),
        SyncState::Failed => writeln!(text, "{}: failed, nothing was changed", record.school),
        SyncState::Waiting | SyncState::Running => {
            writeln!(
                text,
                "{}: not finished; a running service or the next `markback sync` continues it",
                record.school
            )
        }
    };
    if let Some(error) = record
        .error
        .as_deref()
        .filter(|_| record.state != SyncState::Done)
    {
        let _ = writeln!(text, "  reason: {error}");
    }
    if let Some(report) = &record.report {
        reported(text, report);
    }
}

fn previewed(text: &mut String, preview: &Preview, names: Names) {
    let _ = writeln!(text, "{}: a dry run, nothing is saved", preview.school);
    reported(text, &summary(&preview.outcome.report));
    for change in &preview.outcome.changes {
        let what = match &change.kind {
            ChangeKind::Joined { .. } => "would join".to_owned(),
            ChangeKind::Changed { fields, .. } => {
                let fields: Vec<_> = fields.iter().map(ToString::to_string).collect();
                format!("would change: {}", fields.join(", "))
            }
            ChangeKind::Left { cause } => format!("would leave: {cause}"),
        };
        let name = name(change).filter(|_| names.0);
        let name = name.map_or_else(String::new, |name| format!(" ({name})"));
        let _ = writeln!(text, "  {}: {}{name} {what}", change.group, change.person);
    }
}

/// A stored report as lines of text.
fn reported(text: &mut String, report: &Value) {
    let count = |value: &Value| value.as_u64().unwrap_or_default().to_string();
    let rows = report["groups"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, tally)| {
            let numbers = ["people", "joined", "changed", "left"].map(|key| count(&tally[key]));
            let [people, joined, changed, left] = numbers;
            [name.clone(), people, joined, changed, left]
        });
    let table = output::table(["group", "people", "joined", "changed", "left"], rows);
    for line in table.to_string().lines() {
        let _ = writeln!(text, "  {line}");
    }
    for held in report["held"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "  held back: {}",
            held["words"].as_str().unwrap_or_default()
        );
    }
    for refused in report["refused"].as_array().into_iter().flatten() {
        let word = |key: &str| refused[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            text,
            "  not available: `{}` of a {}; the school refuses it, or its MIS does not have it",
            word("property"),
            word("kind")
        );
    }
    for found in report["migrations"].as_array().into_iter().flatten() {
        migrated(text, found);
    }
    if report["pre_admission_refused"] == true {
        let _ = writeln!(
            text,
            "  not available: students who are yet to start; the school does not grant reading them, or its MIS has no such list"
        );
    }
    unread(text, &report["unread"]);
    for decided in report["dates"]["people"]
        .as_array()
        .into_iter()
        .flatten()
        .take(SHOWN)
    {
        let word = |key: &str| decided[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "  dates of {}: {}", word("person"), word("words"));
    }
    more(
        text,
        "contradictory dates",
        count_of(&report["dates"]["count"]),
    );
    for one in report["one_person"]["people"]
        .as_array()
        .into_iter()
        .flatten()
        .take(SHOWN)
    {
        let records = one["records"].as_array().into_iter().flatten();
        let records: Vec<_> = records.filter_map(Value::as_str).collect();
        let _ = writeln!(
            text,
            "  one person: {}, by name and email address or mobile",
            records.join(", ")
        );
    }
    more(
        text,
        "people with several records",
        count_of(&report["one_person"]["count"]),
    );
    for (key, words) in [
        ("in_no_group", "in no group"),
        ("in_several", "matched by several groups, in the first one"),
    ] {
        let found = report[key]["count"].as_u64().unwrap_or_default();
        if found > 0 {
            let kinds = report[key]["by_kind"].as_object().into_iter().flatten();
            let kinds: Vec<_> = kinds.map(|(kind, count)| counted(kind, count)).collect();
            let (kinds, few) = (kinds.join(", "), few(&report[key]["people"]));
            let _ = writeln!(text, "  {words}: {kinds} ({few})");
        }
    }
}

/// The matches after a change of the MIS.
pub(crate) fn migrated(text: &mut String, found: &Value) {
    let count = |key: &str| count_of(&found[key]["count"]);
    let _ = writeln!(
        text,
        "  another MIS, {}: {} matched, {} proposed, {} doubtful, {} new, {} missing",
        found["kind"].as_str().unwrap_or_default(),
        count("matched"),
        count("proposed"),
        count("doubtful"),
        count("new"),
        count("missing"),
    );
    for one in found["proposed"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .take(SHOWN)
    {
        let word = |key: &str| one[key].as_str().unwrap_or_default();
        let by = word("by").replace('_', " ");
        let _ = writeln!(text, "    {} is {} by {by}", word("id"), word("person"));
    }
    for one in found["doubtful"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .take(SHOWN)
    {
        let people: Vec<_> = one["people"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let id = one["id"].as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "    {id} may be {} and counts as new",
            people.join(" or ")
        );
    }
    for (key, words) in [("new", "new"), ("missing", "missing")] {
        let ids: Vec<_> = found[key]["list"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .take(SHOWN)
            .collect();
        if !ids.is_empty() {
            let more = if count(key) > SHOWN { ", …" } else { "" };
            let _ = writeln!(text, "    {words}: {}{more}", ids.join(", "));
        }
    }
}

/// The maximum number of listed entries.
const SHOWN: usize = 5;

fn count_of(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_default()).unwrap_or(usize::MAX)
}

/// Adds the total if only the first entries are shown.
fn more(text: &mut String, what: &str, count: usize) {
    if count > SHOWN {
        let _ = writeln!(text, "  {what}: {count} in total; --format json lists more");
    }
}

/// Unreadable values and records: the counts, and the places of the first ones.
fn unread(text: &mut String, unread: &Value) {
    let (values, records) = (count_of(&unread["values"]), count_of(&unread["records"]));
    if values + records == 0 {
        return;
    }
    let _ = writeln!(
        text,
        "  unreadable and skipped: {values} values and {records} whole records"
    );
    for one in unread["list"].as_array().into_iter().flatten().take(SHOWN) {
        let word = |key: &str| one[key].as_str().filter(|word| !word.is_empty());
        let _ = writeln!(
            text,
            "    {} {}, `{}` on page {}: expected {}",
            word("kind").unwrap_or_default(),
            word("id").unwrap_or("without an id"),
            word("field").unwrap_or("the record"),
            one["page"],
            word("expected").unwrap_or("something else"),
        );
    }
    more(text, "unreadable", values + records);
}

fn counted(kind: &str, count: &Value) -> String {
    match (kind, count.as_u64()) {
        ("staff", _) => format!("{count} staff"),
        (kind, Some(1)) => format!("1 {kind}"),
        (kind, _) => format!("{count} {kind}s"),
    }
}

/// The first ids of a list.
fn few(people: &Value) -> String {
    let ids: Vec<_> = people
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["person"].as_str())
        .collect();
    let more = if ids.len() > SHOWN { ", …" } else { "" };
    let ids: Vec<_> = ids.into_iter().take(SHOWN).collect();
    format!("{}{more}", ids.join(", "))
}
