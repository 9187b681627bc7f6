//! The keys of the API: making and revoking them.

use std::{collections::BTreeSet, time::Duration};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use chrono_tz::Tz;
use markback::{
    keys::{self, KeyError, KeyRecord, NewKey, Scope},
    service::Markback,
    users::Task,
};
use secrecy::ExposeSecret as _;

use super::{
    Confirm, HERE, ShownOnce,
    choice::{Choice, Fields, may_give},
    frame, reach, schools_told, told,
};
use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, html, segment},
    visitor::Visitor,
};

/// The lengths of validity that the form offers, in days; the first is the usual one.
const DAYS: [u64; 3] = [365, 90, 30];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/connections/keys/new", get(form).post(add))
        .route("/connections/keys/{key}/revoke", get(ask).post(revoke))
}

/// A key in the list.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) scopes: String,
    pub(super) schools: String,
    pub(super) state: &'static str,
    pub(super) expires: Option<String>,
    pub(super) used: Option<String>,
    /// Where to revoke it, if it is still valid.
    pub(super) revoke: Option<String>,
}

pub(super) async fn rows(
    markback: &Markback,
    visitor: &Visitor,
    zone: Tz,
) -> Result<Vec<Row>, PageError> {
    let (mut found, now) = (markback.store().keys().await?, markback.store().now());
    let reach = reach(visitor);
    found.retain(|key| reach.sees_all_of(key.schools.as_ref()));
    // Those that are valid first.
    found.sort_by_key(|key| key.state(now) != "active");
    let rows = found.into_iter().map(|key| {
        let state = key.state(now);
        Row {
            scopes: scopes_told(&key.scopes),
            schools: schools_told(key.schools.as_ref()),
            state,
            expires: told(key.expires_at, zone),
            used: told(key.last_used_at, zone),
            revoke: (state == "active").then(|| address(&key.id)),
            name: key.name,
            id: key.id,
        }
    });
    Ok(rows.collect())
}

fn address(id: &str) -> String {
    format!("{HERE}/keys/{}/revoke", segment(id))
}

fn scopes_told(scopes: &BTreeSet<Scope>) -> String {
    let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.join(", ")
}

#[derive(Template)]
#[template(path = "key_new.html")]
struct New {
    frame: Frame,
    problem: Option<String>,
    name: String,
    scopes: Vec<ScopeBox>,
    days: [u64; 3],
    choice: Choice,
}

struct ScopeBox {
    word: &'static str,
    about: &'static str,
    is_ticked: bool,
}

fn about(scope: Scope) -> &'static str {
    match scope {
        Scope::EventsWrite => "send events, and decide about those that need a person",
        Scope::EventsRead => "read events, decisions and outcomes",
        Scope::GroupsRead => "read groups, their people and syncs",
        Scope::SettingsWrite => "read and change settings, and start syncs",
        Scope::Admin => "everything, with keys and the audit log",
        _ => "",
    }
}

async fn form(State(markback): State<Markback>, visitor: Visitor) -> Result<Response, PageError> {
    visitor.must(Task::ManageKeys)?;
    drawn(&markback, &visitor, &Fields::default(), None)
}

fn drawn(
    markback: &Markback,
    visitor: &Visitor,
    fields: &Fields,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let is_first = fields.0.is_empty();
    let chosen = if is_first { None } else { fields.schools() };
    let kind = problem.is_some().then_some(ErrorKind::Invalid);
    let mut response = html(&New {
        frame: frame("Make a key", visitor),
        problem,
        name: fields.text("name").to_owned(),
        scopes: Scope::ALL
            .iter()
            .map(|scope| ScopeBox {
                word: scope.as_str(),
                about: about(*scope),
                is_ticked: fields.all("scope").any(|word| word == scope.as_str()),
            })
            .collect(),
        days: DAYS,
        choice: Choice::new(markback, visitor, chosen.as_ref()),
    })?;
    if let Some(kind) = kind {
        *response.status_mut() = kind.status();
    }
    Ok(response)
}

async fn add(
    State(markback): State<Markback>,
    visitor: Visitor,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    visitor.must(Task::ManageKeys)?;
    let fields = Fields(fields);
    let days = match fields.text("days") {
        "never" => None,
        text => Some(
            text.parse::<u64>()
                .ok()
                .filter(|days| DAYS.contains(days))
                .unwrap_or(DAYS[0]),
        ),
    };
    let store = markback.store();
    let new = NewKey {
        name: fields.text("name").to_owned(),
        scopes: fields
            .all("scope")
            .filter_map(|word| word.parse().ok())
            .collect(),
        schools: fields.schools(),
        expires_at: days.and_then(|days| {
            let length = chrono::TimeDelta::from_std(DAY * u32::try_from(days).ok()?).ok()?;
            store.now().checked_add_signed(length)
        }),
    };
    let problem = match may_give(&markback, &visitor, new.schools.as_ref()) {
        // An empty list is told of by the library.
        Err(problem) => problem,
        Ok(()) => match keys::add(store, &new, &visitor.actor(None)).await {
            Ok((key, record)) => {
                markback.keys().look_again();
                return html(&ShownOnce {
                    frame: frame(format!("The key “{}”", record.name), &visitor),
                    what: "This is the key. It is shown this once, and only its hash is kept.",
                    secret: key.expose_secret().to_owned(),
                    then: "Put it where the client reads its secrets. If it is lost, revoke it and make another.",
                    back: HERE.to_owned(),
                });
            }
            Err(KeyError::Invalid { message, help, .. }) => format!("{message}; {help}."),
            Err(KeyError::Store(error)) => return Err(error.into()),
            Err(error) => error.to_string(),
        },
    };
    drawn(&markback, &visitor, &fields, Some(problem))
}

/// A key that exists for the visitor.
async fn found(markback: &Markback, visitor: &Visitor, id: &str) -> Result<KeyRecord, PageError> {
    visitor.must(Task::ManageKeys)?;
    let found = markback.store().key(id).await?;
    let reach = reach(visitor);
    found
        .filter(|key| reach.sees_all_of(key.schools.as_ref()))
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))
}

async fn ask(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(key): Path<String>,
) -> Result<Response, PageError> {
    let key = found(&markback, &visitor, &key).await?;
    let zone = super::zone(&markback, &visitor);
    let used = told(key.last_used_at, zone).map_or_else(
        || "It has never been used.".to_owned(),
        |at| format!("It was last used on {at}."),
    );
    html(&Confirm {
        frame: frame(format!("Revoke the key “{}”?", key.name), &visitor),
        does: vec![
            format!(
                "The key {} ({}; {}) is rejected from now on. This cannot be undone.",
                key.id,
                scopes_told(&key.scopes),
                schools_told(key.schools.as_ref())
            ),
            used,
            "A client that still uses it can send no more events until it has another key."
                .to_owned(),
        ],
        button: "Revoke the key",
        back: HERE.to_owned(),
        since: None,
    })
}

async fn revoke(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(key): Path<String>,
) -> Result<Response, PageError> {
    let key = found(&markback, &visitor, &key).await?;
    match keys::revoke(markback.store(), &key.id, &visitor.actor(None)).await {
        Ok(_) => {}
        Err(KeyError::Store(error)) => return Err(error.into()),
        Err(_) => return Err(PageError::new(ErrorKind::NotFound)),
    }
    markback.keys().look_again();
    Ok(Redirect::to(&format!("{HERE}?done=key-revoked")).into_response())
}
