//! Connections: the keys of the API, the endpoints for webhooks, and the users.
//!
//! All of it is for the role `admin`. An administrator of some schools handles what concerns no others.

pub(super) mod choice;
mod keys;
pub(super) mod users;
mod webhooks;

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use markback::{keys::Grant, service::Markback, users::Task};
use mis_core::SchoolId;
use serde::Deserialize;

use crate::{
    error::PageError,
    layout::{Frame, Section, html},
    visitor::{SchoolsSeen, Visitor},
};

/// The address of the page.
const HERE: &str = "/connections";

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route(HERE, get(page))
        .merge(keys::routes())
        .merge(webhooks::routes())
        .merge(users::routes())
}

#[derive(Template)]
#[template(path = "connections.html")]
struct Page {
    frame: Frame,
    done: Option<&'static str>,
    zone: Tz,
    keys: Vec<keys::Row>,
    webhooks: Vec<webhooks::Row>,
    users: Vec<users::Row>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    done: String,
}

async fn page(
    State(markback): State<Markback>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    for task in [Task::ManageKeys, Task::ManageWebhooks, Task::ManageUsers] {
        visitor.must(task)?;
    }
    let zone = zone(&markback, &visitor);
    html(&Page {
        frame: Frame::of_section("Connections", &visitor, Section::Connections),
        done: done(&asked.done),
        zone,
        keys: keys::rows(&markback, &visitor, zone).await?,
        webhooks: webhooks::rows(&markback, &visitor, zone).await?,
        users: users::rows(&markback, &visitor, zone).await?,
    })
}

/// What was done, by the word in the address. Only these can be said.
fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "key-revoked" => {
            "The key is revoked. Every computer of the service rejects it within seconds."
        }
        "webhook-removed" => "The webhook endpoint is removed.",
        "webhook-enabled" => {
            "The endpoint gets entries again. What was written meanwhile is sent only if you resend it."
        }
        "webhook-disabled" => "The endpoint gets nothing until it is enabled.",
        "webhook-resent" => "The entries are on their way again.",
        "user-added" => "The user is added, and can sign in.",
        "user-changed" => "The role holds from the user's next page on.",
        "user-password" => "The user has another password. All of the user's sessions have ended.",
        "user-disabled" => "The user is disabled. All of the user's sessions have ended.",
        "user-enabled" => "The user can sign in again.",
        "user-removed" => "The user is removed.",
        _ => return None,
    })
}

/// A change that is about to be made, told before it is.
#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    frame: Frame,
    /// What it does, a sentence each.
    does: Vec<String>,
    button: &'static str,
    back: String,
    /// Further fields of the form.
    since: Option<String>,
}

/// A secret that is shown this once.
#[derive(Template)]
#[template(path = "shown_once.html")]
struct ShownOnce {
    frame: Frame,
    what: &'static str,
    secret: String,
    then: &'static str,
    back: String,
}

fn frame(title: impl Into<String>, visitor: &Visitor) -> Frame {
    Frame::of_section(title, visitor, Section::Connections)
}

/// The schools that exist for a visitor, to compare with those of a key or a user.
pub(super) fn reach(visitor: &Visitor) -> Grant {
    let schools = match &visitor.schools {
        SchoolsSeen::All => None,
        SchoolsSeen::Some(schools) => Some(schools.iter().cloned().collect()),
    };
    Grant::new(BTreeSet::new(), schools)
}

/// Schools in words.
pub(super) fn schools_told(schools: Option<&BTreeSet<SchoolId>>) -> String {
    schools.map_or_else(
        || "all schools".to_owned(),
        |schools| {
            let ids: Vec<_> = schools.iter().map(SchoolId::as_str).collect();
            ids.join(", ")
        },
    )
}

/// The time zone of the visitor's schools, or UTC if they differ.
pub(super) fn zone(markback: &Markback, visitor: &Visitor) -> Tz {
    let mut zones = visitor
        .schools(markback)
        .into_iter()
        .map(|school| school.timezone);
    let first = zones.next();
    match first {
        Some(zone) if zones.all(|other| other == zone) => zone,
        _ => Tz::UTC,
    }
}

/// A time for display: `23 Nov 2026, 08:40`.
pub(super) fn told(at: Option<DateTime<Utc>>, zone: Tz) -> Option<String> {
    at.map(|at| {
        at.with_timezone(&zone)
            .format("%-d %b %Y, %H:%M")
            .to_string()
    })
}
