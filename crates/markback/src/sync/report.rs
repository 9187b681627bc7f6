//! The report of a sync as it is stored and shown: counts and ids, no names.

use roster::{Migration, SyncReport};
use serde_json::{Value, json};

/// The most people listed; counts are always complete.
const LISTED: usize = 200;

/// The report as JSON.
pub fn summary(report: &SyncReport) -> Value {
    let groups: serde_json::Map<_, _> = report
        .groups
        .iter()
        .map(|(name, tally)| (name.clone(), json!(tally)))
        .collect();
    let records: serde_json::Map<_, _> = report
        .records
        .iter()
        .map(|(kind, count)| (word(*kind), json!(count)))
        .collect();
    let held: Vec<_> = report
        .held
        .iter()
        .map(|held| json!({"what": held, "words": held.to_string()}))
        .collect();
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|(kind, property)| json!({"kind": kind, "property": property}))
        .collect();
    let left_out = report.unread.iter().filter(|unread| unread.issue.left_out);
    let left_out = left_out.count();
    let dates: Vec<_> = report
        .dates
        .iter()
        .take(LISTED)
        .map(|decided| {
            json!({"kind": decided.kind, "person": decided.person, "decision": decided.decision,
                              "words": decided.decision.to_string()})
        })
        .collect();
    json!({
        "groups": groups,
        "records": records,
        "held": held,
        "refused": refused,
        "migrations": report.migrations.iter().map(migration).collect::<Vec<_>>(),
        "pre_admission_refused": report.pre_admission_refused,
        "unread": {
            "values": report.unread.len() - left_out,
            "records": left_out,
            "list": report.unread.iter().take(LISTED).collect::<Vec<_>>(),
        },
        "dates": {"count": report.dates.len(), "people": dates},
        "one_person": {
            "count": report.one_person.len(),
            "people": report.one_person.iter().take(LISTED).collect::<Vec<_>>(),
        },
        "in_no_group": {
            "count": report.ungrouped.len(),
            "by_kind": by_kind(report.ungrouped.iter().map(|person| person.kind)),
            "people": report.ungrouped.iter().take(LISTED).collect::<Vec<_>>(),
        },
        "in_several": {
            "count": report.overlaps.len(),
            "by_kind": by_kind(report.overlaps.iter().map(|overlap| overlap.kind)),
            "people": report.overlaps.iter().take(LISTED).collect::<Vec<_>>(),
        },
    })
}

/// How people were matched after a change of the MIS, as counts and ids.
pub fn migration(found: &Migration) -> Value {
    json!({
        "kind": found.kind,
        "matched": listed(&found.matched),
        "proposed": listed(&found.proposed),
        "doubtful": listed(&found.doubtful),
        "new": listed(&found.new),
        "missing": listed(&found.missing),
    })
}

fn listed<T: serde::Serialize>(all: &[T]) -> Value {
    json!({"count": all.len(), "list": all.iter().take(LISTED).collect::<Vec<_>>()})
}

fn by_kind(kinds: impl Iterator<Item = roster::PersonKind>) -> Value {
    let mut counts = serde_json::Map::new();
    for kind in kinds {
        let count = counts.entry(word(kind)).or_insert_with(|| json!(0));
        *count = json!(count.as_u64().unwrap_or_default() + 1);
    }
    Value::Object(counts)
}

fn word(kind: roster::PersonKind) -> String {
    match serde_json::to_value(kind) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
