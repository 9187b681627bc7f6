//! The endpoints for webhooks: adding and testing them, their deliveries, sending again.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use markback::{
    endpoints::{DeliveryFilter, DeliveryState, Endpoint, EndpointError, NewEndpoint, Tested},
    feed::{Cursor, FeedKind},
    service::Markback,
    users::Task,
};
use mis_core::SchoolId;
use serde::Deserialize;

use super::{Confirm, HERE, ShownOnce, choice::Fields, frame, reach, told};
use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, html, segment},
    visitor::Visitor,
};

/// Deliveries on one page.
const DELIVERIES: u32 = 50;
/// Without a known beginning of the failures, entries of so many days are sent again.
const DAYS_AGAIN: i64 = 7;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/connections/webhooks/new", get(form).post(add))
        .route("/connections/webhooks/{endpoint}", get(page))
        .route("/connections/webhooks/{endpoint}/test", post(test))
        .route(
            "/connections/webhooks/{endpoint}/resend",
            get(ask_resend).post(resend),
        )
        .route(
            "/connections/webhooks/{endpoint}/deliveries/{entry}/resend",
            get(ask_one).post(resend_one),
        )
        .route(
            "/connections/webhooks/{endpoint}/enable",
            get(ask_enable).post(enable),
        )
        .route(
            "/connections/webhooks/{endpoint}/disable",
            get(ask_disable).post(disable),
        )
        .route(
            "/connections/webhooks/{endpoint}/rotate",
            get(ask_rotate).post(rotate),
        )
        .route(
            "/connections/webhooks/{endpoint}/remove",
            get(ask_remove).post(remove),
        )
}

/// An endpoint in the list.
pub(super) struct Row {
    pub(super) url: String,
    pub(super) school: String,
    pub(super) kinds: String,
    pub(super) state: &'static str,
    pub(super) is_trouble: bool,
    pub(super) last: Option<String>,
    pub(super) href: String,
}

pub(super) async fn rows(
    markback: &Markback,
    visitor: &Visitor,
    zone: Tz,
) -> Result<Vec<Row>, PageError> {
    let mut found = markback.endpoints().list().await?;
    found.retain(|endpoint| exists_for(visitor, endpoint));
    let rows = found.into_iter().map(|endpoint| Row {
        href: address(&endpoint.id),
        school: school_told(&endpoint),
        kinds: kinds_told(&endpoint),
        state: endpoint.state.as_str(),
        is_trouble: endpoint.state.is_trouble() || endpoint.failing_since.is_some(),
        last: told(endpoint.last_success, zone),
        url: endpoint.url.into(),
    });
    Ok(rows.collect())
}

fn address(id: &str) -> String {
    format!("{HERE}/webhooks/{}", segment(id))
}

fn school_told(endpoint: &Endpoint) -> String {
    let school = endpoint.school.clone();
    school.unwrap_or_else(|| "all schools".to_owned())
}

fn kinds_told(endpoint: &Endpoint) -> String {
    if endpoint.kinds.is_empty() {
        return "all".to_owned();
    }
    let words: Vec<_> = endpoint.kinds.iter().map(|kind| kind.as_str()).collect();
    words.join(", ")
}

/// A visitor who sees some schools only sees the endpoints of these.
fn exists_for(visitor: &Visitor, endpoint: &Endpoint) -> bool {
    match &endpoint.school {
        Some(school) => visitor.sees(&SchoolId::from(school.as_str())),
        None => reach(visitor).sees_all_of(None),
    }
}

async fn found(markback: &Markback, visitor: &Visitor, id: &str) -> Result<Endpoint, PageError> {
    visitor.must(Task::ManageWebhooks)?;
    let found = markback.endpoints().get(id).await.map_err(rejected)?;
    if exists_for(visitor, &found) {
        Ok(found)
    } else {
        Err(PageError::new(ErrorKind::NotFound))
    }
}

fn rejected(error: EndpointError) -> PageError {
    match error {
        EndpointError::Unknown => PageError::new(ErrorKind::NotFound),
        EndpointError::Store(error) => error.into(),
        EndpointError::NotResent => PageError::new(ErrorKind::Conflict).detail(error.to_string()),
        error => PageError::new(ErrorKind::Invalid).detail(error.to_string()),
    }
}

#[derive(Template)]
#[template(path = "webhook_new.html")]
struct New {
    frame: Frame,
    problem: Option<String>,
    url: String,
    note: String,
    may_all: bool,
    school: String,
    schools: Vec<String>,
    kinds: Vec<(&'static str, bool)>,
}

async fn form(State(markback): State<Markback>, visitor: Visitor) -> Result<Response, PageError> {
    visitor.must(Task::ManageWebhooks)?;
    drawn(&markback, &visitor, &Fields::default(), None)
}

fn drawn(
    markback: &Markback,
    visitor: &Visitor,
    fields: &Fields,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let is_wrong = problem.is_some();
    let schools = visitor.schools(markback);
    let kinds = FeedKind::ALL.iter().map(|kind| {
        let is_ticked = fields.all("kind").any(|word| word == kind.as_str());
        (kind.as_str(), is_ticked)
    });
    let mut response = html(&New {
        frame: frame("Add a webhook endpoint", visitor),
        problem,
        url: fields.text("url").to_owned(),
        note: fields.text("note").to_owned(),
        may_all: reach(visitor).sees_all_of(None),
        school: fields.text("school").to_owned(),
        schools: schools.iter().map(|school| school.id.to_string()).collect(),
        kinds: kinds.collect(),
    })?;
    if is_wrong {
        *response.status_mut() = ErrorKind::Invalid.status();
    }
    Ok(response)
}

/// What a form asks for, or what is wrong with it.
fn wanted(markback: &Markback, visitor: &Visitor, fields: &Fields) -> Result<NewEndpoint, String> {
    let text = |name| Some(fields.text(name)).filter(|text| !text.is_empty());
    let school = text("school").map(str::to_owned);
    match &school {
        None if !reach(visitor).sees_all_of(None) => {
            return Err("You see some schools only, so choose the school.".to_owned());
        }
        Some(school) => {
            let id = SchoolId::from(school.as_str());
            if !(markback.school(&id).is_some() & visitor.sees(&id)) {
                return Err(format!("There is no school {school}. Correct its id."));
            }
        }
        None => {}
    }
    let kinds: Result<Vec<FeedKind>, _> = fields.all("kind").map(str::parse).collect();
    Ok(NewEndpoint {
        school,
        kinds: kinds.map_err(|_| "There is no such kind of entry.".to_owned())?,
        url: fields.text("url").parse().map_err(|_| {
            "The address is not that of a web service. Write one that begins with https://."
                .to_owned()
        })?,
        note: text("note").map(str::to_owned),
    })
}

async fn add(
    State(markback): State<Markback>,
    visitor: Visitor,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    visitor.must(Task::ManageWebhooks)?;
    let fields = Fields(fields);
    let problem = match wanted(&markback, &visitor, &fields) {
        Err(problem) => problem,
        Ok(new) => match markback.endpoints().add(new, &visitor.actor(None)).await {
            Ok((endpoint, secret)) => {
                let secret = secret.expose().to_owned();
                return html(&secret_shown(&visitor, &endpoint, secret));
            }
            Err(EndpointError::Store(error)) => return Err(error.into()),
            Err(error) => error.to_string(),
        },
    };
    drawn(&markback, &visitor, &fields, Some(problem))
}

fn secret_shown(visitor: &Visitor, endpoint: &Endpoint, secret: String) -> ShownOnce {
    ShownOnce {
        frame: frame("The secret of the endpoint", visitor),
        what: "This is the secret that signs its messages. It is shown this once.",
        secret,
        then: "Put it where the receiving system reads its secrets, then send a test.",
        back: address(&endpoint.id),
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct Page {
    frame: Frame,
    done: Option<String>,
    endpoint: Endpoint,
    school: String,
    kinds: String,
    here: String,
    zone: Tz,
    created: Option<String>,
    failing: Option<String>,
    success: Option<String>,
    deliveries: Vec<Line>,
    state: String,
    older: Option<String>,
}

/// A delivery in the list.
struct Line {
    entry: String,
    state: &'static str,
    at: Option<String>,
    attempts: usize,
    last: String,
    again: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    state: String,
    #[serde(default)]
    before: String,
}

async fn page(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    shown(&markback, &visitor, endpoint, asked, None).await
}

async fn shown(
    markback: &Markback,
    visitor: &Visitor,
    endpoint: Endpoint,
    asked: Asked,
    done: Option<String>,
) -> Result<Response, PageError> {
    let zone = super::zone(markback, visitor);
    // A word that is not known is no filter.
    let state: Option<DeliveryState> = asked.state.parse().ok();
    let filter = DeliveryFilter {
        before: asked.before.parse().ok(),
        state,
        limit: DELIVERIES,
    };
    let deliveries = markback.endpoints().deliveries(&endpoint.id, &filter).await;
    let deliveries = deliveries.map_err(rejected)?;
    let here = address(&endpoint.id);
    let is_full = u32::try_from(deliveries.len()).unwrap_or(u32::MAX) >= DELIVERIES;
    let older = deliveries.last().filter(|_| is_full).map(|last| {
        let state = state.map_or("", DeliveryState::as_str);
        format!("{here}?state={state}&before={}", last.entry)
    });
    let lines = deliveries.into_iter().map(|delivery| {
        let last = delivery
            .attempts
            .last()
            .map(|last| match (&last.error, last.status) {
                (None, Some(status)) => format!("answered {status}"),
                (Some(error), _) => error.clone(),
                (None, None) => String::new(),
            });
        Line {
            again: (delivery.state != DeliveryState::Waiting)
                .then(|| format!("{here}/deliveries/{}/resend", delivery.entry)),
            entry: delivery.entry.to_string(),
            state: delivery.state.as_str(),
            at: told(Some(delivery.changed_at), zone),
            attempts: delivery.attempts.len(),
            last: last.unwrap_or_default(),
        }
    });
    html(&Page {
        frame: frame("A webhook endpoint", visitor),
        done,
        school: school_told(&endpoint),
        kinds: kinds_told(&endpoint),
        zone,
        created: told(Some(endpoint.created_at), zone),
        failing: told(endpoint.failing_since, zone),
        success: told(endpoint.last_success, zone),
        deliveries: lines.collect(),
        state: state.map_or_else(String::new, |state| state.as_str().to_owned()),
        older,
        here,
        endpoint,
    })
}

async fn test(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let tested = markback
        .endpoints()
        .test(&endpoint.id)
        .await
        .map_err(rejected)?;
    let Tested {
        delivered,
        status,
        took_ms,
        error,
        ..
    } = tested;
    let answer = status.map_or_else(
        || "no answer".to_owned(),
        |status| format!("answer {status}"),
    );
    let done = match (delivered, error) {
        (true, _) => format!("The test message arrived: {answer} after {took_ms} ms."),
        (false, Some(error)) => {
            format!("The test message did not arrive: {error} ({answer}, {took_ms} ms).")
        }
        (false, None) => format!("The test message did not arrive: {answer} after {took_ms} ms."),
    };
    let asked = Asked {
        state: String::new(),
        before: String::new(),
    };
    shown(&markback, &visitor, endpoint, asked, Some(done)).await
}

fn confirm(
    visitor: &Visitor,
    endpoint: &Endpoint,
    (title, button): (&'static str, &'static str),
    does: Vec<String>,
    since: Option<String>,
) -> Result<Response, PageError> {
    let does = std::iter::once(format!("Endpoint: {}", endpoint.url)).chain(does);
    html(&Confirm {
        frame: frame(title, visitor),
        does: does.collect(),
        button,
        back: address(&endpoint.id),
        since,
    })
}

fn done(word: &str) -> Response {
    Redirect::to(&format!("{HERE}?done={word}")).into_response()
}

async fn ask_resend(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let week = TimeDelta::try_days(DAYS_AGAIN).unwrap_or_default();
    let since = endpoint
        .failing_since
        .unwrap_or(markback.store().now() - week);
    let from = told(Some(since), super::zone(&markback, &visitor)).unwrap_or_default();
    let does = vec![
        format!(
            "Sends every entry since {from} that failed, or was never sent because the endpoint got nothing."
        ),
        "Entries that arrived are not sent again.".to_owned(),
    ];
    let words = ("Send what failed again?", "Send it again");
    confirm(&visitor, &endpoint, words, does, Some(since.to_rfc3339()))
}

async fn resend(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let since: DateTime<Utc> = Fields(fields)
        .text("since")
        .parse()
        .map_err(|_| PageError::new(ErrorKind::Invalid))?;
    let actor = visitor.actor(None);
    let resent = markback
        .endpoints()
        .resend_since(&endpoint.id, since, &actor)
        .await;
    resent.map_err(rejected)?;
    Ok(done("webhook-resent"))
}

/// The number of an entry in an address.
fn entry_in(text: &str) -> Result<Cursor, PageError> {
    text.parse()
        .map_err(|_| PageError::new(ErrorKind::NotFound))
}

async fn ask_one(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path((endpoint, entry)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let entry = entry_in(&entry)?;
    let does = vec![format!(
        "Sends the entry {entry} once more, whatever became of it."
    )];
    let words = ("Send this entry again?", "Send it again");
    confirm(&visitor, &endpoint, words, does, None)
}

async fn resend_one(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path((endpoint, entry)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let entry = entry_in(&entry)?;
    let actor = visitor.actor(None);
    let resent = markback
        .endpoints()
        .resend(&endpoint.id, entry, &actor)
        .await;
    resent.map_err(rejected)?;
    Ok(done("webhook-resent"))
}

async fn ask_enable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let does = vec![
        "It gets entries that are written from now on.".to_owned(),
        "What was written meanwhile is sent only if you send it again afterwards.".to_owned(),
    ];
    confirm(
        &visitor,
        &endpoint,
        ("Enable the endpoint?", "Enable it"),
        does,
        None,
    )
}

async fn ask_disable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let does = vec!["It gets nothing until somebody enables it.".to_owned()];
    confirm(
        &visitor,
        &endpoint,
        ("Disable the endpoint?", "Disable it"),
        does,
        None,
    )
}

async fn set_enabled(
    markback: &Markback,
    visitor: &Visitor,
    endpoint: &str,
    enabled: bool,
) -> Result<Response, PageError> {
    let endpoint = found(markback, visitor, endpoint).await?;
    let actor = visitor.actor(None);
    let set = markback
        .endpoints()
        .enable(&endpoint.id, enabled, &actor)
        .await;
    set.map_err(rejected)?;
    Ok(done(if enabled {
        "webhook-enabled"
    } else {
        "webhook-disabled"
    }))
}

async fn enable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    set_enabled(&markback, &visitor, &endpoint, true).await
}

async fn disable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    set_enabled(&markback, &visitor, &endpoint, false).await
}

async fn ask_rotate(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let does = vec![
        "It gets a new secret, which the next page shows once.".to_owned(),
        "For 24 hours messages are signed with both, so that the receiving system can change it without losing one.".to_owned(),
    ];
    confirm(
        &visitor,
        &endpoint,
        ("Make a new secret?", "Make a new secret"),
        does,
        None,
    )
}

async fn rotate(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let rotated = markback
        .endpoints()
        .rotate(&endpoint.id, &visitor.actor(None))
        .await;
    let (endpoint, secret) = rotated.map_err(rejected)?;
    html(&secret_shown(
        &visitor,
        &endpoint,
        secret.expose().to_owned(),
    ))
}

async fn ask_remove(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let does = vec![
        "It gets nothing more, and its log of deliveries is removed. This cannot be undone."
            .to_owned(),
    ];
    confirm(
        &visitor,
        &endpoint,
        ("Remove the endpoint?", "Remove it"),
        does,
        None,
    )
}

async fn remove(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(endpoint): Path<String>,
) -> Result<Response, PageError> {
    let endpoint = found(&markback, &visitor, &endpoint).await?;
    let removed = markback
        .endpoints()
        .remove(&endpoint.id, &visitor.actor(None))
        .await;
    removed.map_err(rejected)?;
    Ok(done("webhook-removed"))
}
