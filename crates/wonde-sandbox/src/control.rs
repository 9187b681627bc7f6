//! The control API under `/sandbox`: the functions of [`Handle`] for other processes and curl. It needs no token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::changes::Change;
use crate::direct::{CodeChange, Handle, NewLesson, TeacherMark};
use crate::error::Error;
use crate::faults::FaultRule;
use crate::inner::{Inner, WebhookMode};
use crate::school::{Access, Hours};

/// The control API's routes.
pub(crate) fn router<S>(inner: Arc<Inner>) -> Router<S> {
    Router::new()
        .nest("/sandbox", below())
        .route("/sandbox/", get(overview))
        .with_state(Handle { inner })
}

fn below() -> Router<Handle> {
    Router::new()
        .route("/", get(overview))
        .route("/clock", get(clock).post(put_forward))
        .route("/write-delay", post(write_delay))
        .route("/token", post(token))
        .route("/requests", get(requests).delete(reset_requests))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/webhooks", post(webhook))
        .route("/webhooks/mode", post(webhook_mode))
        .route("/schools", get(schools))
        .route("/schools/{id}/students", get(students))
        .route("/schools/{id}/contacts", get(contacts))
        .route("/schools/{id}/employees", get(employees))
        .route("/schools/{id}/changes", post(change))
        .route("/schools/{id}/day", post(day))
        .route("/schools/{id}/marks", get(marks).post(set_mark))
        .route("/schools/{id}/extract", post(extract))
        .route("/schools/{id}/waiting", get(waiting))
        .route("/schools/{id}/offline", post(offline))
        .route("/schools/{id}/stale", post(stale))
        .route("/schools/{id}/access", post(access))
        .route("/schools/{id}/scopes", post(scopes))
        .route("/schools/{id}/region", post(region))
        .route("/schools/{id}/migrate", post(migrate))
        .route("/schools/{id}/codes/{code}", post(change_code))
        .route("/schools/{id}/codes/{code}/repeat", post(repeat_code))
        .route("/schools/{id}/hours", post(hours))
        .route("/schools/{id}/lessons", post(add_lesson))
        .route("/schools/{id}/renumber", post(renumber))
        .route("/schools/{id}/values", post(set_value).delete(clear_values))
        .route("/schools/{id}/lessons/{lesson}/cancel", post(cancel))
}

/// The result of a call: JSON, or an error with its reason.
type Said = Result<Json<Value>, Error>;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

/// A JSON body with any content type, because curl sends another.
struct Sent<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let wrong = |why: String| Error::Impossible(format!("the body cannot be read: {why}"));
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|e| wrong(e.to_string()))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|e| wrong(e.to_string()))
    }
}

fn done() -> Said {
    Ok(Json(json!({"done": true})))
}

fn list(items: impl serde::Serialize) -> Said {
    serde_json::to_value(items)
        .map(Json)
        .map_err(|e| Error::Impossible(e.to_string()))
}

async fn overview(State(sandbox): State<Handle>) -> Json<Value> {
    Json(json!({
        "base_url": sandbox.base_url(),
        "wrong_region_url": sandbox.wrong_region_url(),
        "control_url": sandbox.control_url(),
        "token": sandbox.token(),
        "schools": sandbox.schools().len(),
        "now": sandbox.now(),
    }))
}

async fn clock(State(sandbox): State<Handle>) -> Json<Value> {
    Json(json!({"now": sandbox.now()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutForward {
    advance_seconds: u64,
}

async fn put_forward(State(sandbox): State<Handle>, Sent(by): Sent<PutForward>) -> Json<Value> {
    sandbox.advance(Duration::from_secs(by.advance_seconds));
    clock(State(sandbox)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Millis {
    millis: u64,
}

async fn write_delay(State(sandbox): State<Handle>, Sent(delay): Sent<Millis>) -> Said {
    sandbox.set_write_delay(Duration::from_millis(delay.millis));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// The token for all schools by default.
    #[serde(default)]
    token: Option<String>,
    revoked: bool,
}

async fn token(State(sandbox): State<Handle>, Sent(ask): Sent<Token>) -> Said {
    let token = ask.token.unwrap_or_else(|| sandbox.token());
    sandbox.set_token_revoked(&token, ask.revoked);
    done()
}

async fn requests(State(sandbox): State<Handle>) -> Said {
    list(sandbox.requests())
}

async fn reset_requests(State(sandbox): State<Handle>) -> Said {
    sandbox.reset_requests();
    done()
}

async fn faults(State(sandbox): State<Handle>) -> Said {
    list(sandbox.faults())
}

/// One rule, several, or a mix of all faults.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Mix { mix: Mix },
    Many(Vec<FaultRule>),
    One(Box<FaultRule>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mix {
    seed: u64,
    share: f64,
}

async fn add_faults(State(sandbox): State<Handle>, Sent(rules): Sent<Rules>) -> Said {
    let rules = match rules {
        Rules::Mix { mix } => FaultRule::mix(mix.seed, mix.share),
        Rules::Many(rules) => rules,
        Rules::One(rule) => vec![*rule],
    };
    for rule in rules {
        sandbox.add_fault(rule)?;
    }
    list(sandbox.faults())
}

async fn clear_faults(State(sandbox): State<Handle>) -> Said {
    sandbox.clear_faults();
    done()
}

async fn webhook(State(sandbox): State<Handle>, Sent(payload): Sent<Value>) -> Said {
    sandbox.send_webhook(payload);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    mode: WebhookMode,
}

async fn webhook_mode(State(sandbox): State<Handle>, Sent(ask): Sent<Mode>) -> Said {
    sandbox.set_webhook_mode(ask.mode);
    done()
}

async fn schools(State(sandbox): State<Handle>) -> Said {
    list(sandbox.schools())
}

async fn students(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    list(sandbox.students(&id)?)
}

async fn contacts(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    list(sandbox.contacts(&id)?)
}

async fn employees(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    list(sandbox.employees(&id)?)
}

async fn change(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(change): Sent<Change>,
) -> Said {
    Ok(Json(json!({"id": sandbox.change(&id, &change)?})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Day {
    seed: u64,
}

async fn day(State(sandbox): State<Handle>, Path(id): Path<String>, Sent(ask): Sent<Day>) -> Said {
    list(sandbox.a_day_of_changes(&id, ask.seed)?)
}

async fn marks(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    list(sandbox.mis_marks(&id)?)
}

async fn set_mark(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(mark): Sent<TeacherMark>,
) -> Said {
    sandbox.set_mark(&id, &mark)?;
    done()
}

async fn extract(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    let renewed = sandbox.extract_now(&id)?;
    Ok(Json(
        json!({"renewed": renewed, "extracted_at": sandbox.extracted_at(&id)?}),
    ))
}

async fn waiting(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    Ok(Json(json!({
        "registers": sandbox.waiting(&id)?,
        "extracted_at": sandbox.extracted_at(&id)?,
    })))
}

/// On for some time (a day by default), or off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
    #[serde(default)]
    seconds: Option<u64>,
}

impl Switch {
    fn how_long(&self) -> Option<Duration> {
        self.on
            .then(|| Duration::from_secs(self.seconds.unwrap_or(24 * 60 * 60)))
    }
}

async fn offline(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(switch): Sent<Switch>,
) -> Said {
    sandbox.set_offline(&id, switch.how_long())?;
    done()
}

async fn stale(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(switch): Sent<Switch>,
) -> Said {
    sandbox.set_stale(&id, switch.how_long())?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessIs {
    access: Access,
}

async fn access(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(ask): Sent<AccessIs>,
) -> Said {
    sandbox.set_access(&id, ask.access)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    scope: String,
    granted: bool,
}

async fn scopes(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(ask): Sent<Scope>,
) -> Said {
    sandbox.set_scope(&id, &ask.scope, ask.granted)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    other: bool,
}

async fn region(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(ask): Sent<Region>,
) -> Said {
    sandbox.set_other_region(&id, ask.other)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Migrate {
    mis: String,
}

async fn migrate(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(ask): Sent<Migrate>,
) -> Said {
    sandbox.migrate(&id, &ask.mis)?;
    done()
}

async fn renumber(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    sandbox.renumber(&id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueIs {
    id: String,
    pointer: String,
    value: Value,
}

async fn set_value(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(ask): Sent<ValueIs>,
) -> Said {
    sandbox.set_value(&id, &ask.id, &ask.pointer, ask.value)?;
    done()
}

async fn clear_values(State(sandbox): State<Handle>, Path(id): Path<String>) -> Said {
    sandbox.clear_values(&id)?;
    done()
}

async fn cancel(State(sandbox): State<Handle>, Path((id, lesson)): Path<(String, String)>) -> Said {
    sandbox.cancel_lesson(&id, &lesson)?;
    done()
}

async fn change_code(
    State(sandbox): State<Handle>,
    Path((id, code)): Path<(String, String)>,
    Sent(change): Sent<CodeChange>,
) -> Said {
    sandbox.change_code(&id, &code, change)?;
    done()
}

async fn repeat_code(
    State(sandbox): State<Handle>,
    Path((id, code)): Path<(String, String)>,
    Sent(change): Sent<CodeChange>,
) -> Said {
    Ok(Json(
        json!({"id": sandbox.repeat_code(&id, &code, change)?}),
    ))
}

async fn hours(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(hours): Sent<Hours>,
) -> Said {
    sandbox.set_hours(&id, hours)?;
    done()
}

async fn add_lesson(
    State(sandbox): State<Handle>,
    Path(id): Path<String>,
    Sent(lesson): Sent<NewLesson>,
) -> Said {
    Ok(Json(json!({"id": sandbox.add_lesson(&id, &lesson)?})))
}
