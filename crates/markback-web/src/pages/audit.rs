//! The audit log: who changed what, and who looked at whom.

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use chrono::{NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use markback::{
    audit_log::{AuditEntry, AuditFilter},
    service::Markback,
    users::Task,
};
use mis_core::SchoolId;
use serde::Deserialize;
use url::form_urlencoded;

use super::connections::{told, zone};
use crate::{
    error::PageError,
    layout::{Frame, Section, html},
    visitor::{SchoolsSeen, Visitor},
};

/// Entries on one page.
const ENTRIES: u32 = 100;

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/audit", get(page))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    zone: Tz,
    asked: Asked,
    problem: Option<&'static str>,
    rows: Vec<Row>,
    older: Option<String>,
}

struct Row {
    at: String,
    who: String,
    via: String,
    what: String,
    school: String,
    subject: String,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    school: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    before: String,
}

async fn page(
    State(markback): State<Markback>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visitor.must(Task::ReadAudit)?;
    let zone = zone(&markback, &visitor);
    let school = asked.school.trim();
    let schools = match (&visitor.schools, school) {
        (SchoolsSeen::All, "") => None,
        (SchoolsSeen::Some(own), "") => Some(own.clone()),
        (_, school) => {
            let school = SchoolId::from(school);
            // A foreign school has no entries, like one that does not exist.
            Some(
                Some(school)
                    .filter(|school| visitor.sees(school))
                    .into_iter()
                    .collect(),
            )
        }
    };
    let since: Result<Option<NaiveDate>, _> = match asked.since.trim() {
        "" => Ok(None),
        text => text.parse().map(Some),
    };
    let problem = since
        .is_err()
        .then_some("The date is not one. Write it as 2026-11-23.");
    let since = since.ok().flatten().and_then(|date| {
        let begins = date.and_time(NaiveTime::MIN).and_local_timezone(zone);
        Some(begins.earliest()?.with_timezone(&Utc))
    });
    let by = asked.by.trim();
    let filter = AuditFilter {
        schools,
        by: (!by.is_empty()).then(|| by.to_owned()),
        since,
        before: asked.before.parse().ok(),
        limit: ENTRIES,
    };
    let entries = markback.store().audit_entries(&filter).await?;
    let is_full = u32::try_from(entries.len()).unwrap_or(u32::MAX) >= ENTRIES;
    let older = entries.last().filter(|_| is_full).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("school", &asked.school),
            ("by", &asked.by),
            ("since", &asked.since),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("before", &last.seq.to_string());
        format!("/audit?{}", query.finish())
    });
    html(&Page {
        frame: Frame::of_section("Audit log", &visitor, Section::Audit),
        zone,
        asked,
        problem,
        rows: entries.into_iter().map(|entry| row(entry, zone)).collect(),
        older,
    })
}

fn row(entry: AuditEntry, zone: Tz) -> Row {
    let amount = entry
        .amount
        .map_or_else(String::new, |amount| format!(" ({amount})"));
    let who = match (entry.caller, entry.key) {
        (Some(name), Some(key)) => format!("{name} (key {key})"),
        (Some(name), None) => name,
        (None, Some(key)) => format!("key {key}"),
        (None, None) => "not known".to_owned(),
    };
    Row {
        at: told(entry.at, zone).unwrap_or_default(),
        who,
        via: entry.via,
        what: format!("{}{amount}", entry.action.replace('_', " ")),
        school: entry.school.unwrap_or_default(),
        subject: entry.subject.unwrap_or_default(),
    }
}
