//! The HTTP server: authorisation, faults and responses.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::api::{self, Call, Verb};
use crate::control;
use crate::cut::Wire;
use crate::faults::{Fault, RetryAfter, Subject};
use crate::ids::Kind;
use crate::inner::{Inner, lock};
use crate::query::Query;
use crate::reply::{Rejection, Reply};
use crate::writeback::Fate;

/// The server of one region.
#[derive(Clone)]
struct Door {
    inner: Arc<Inner>,
    region: usize,
}

/// The API of one region, and the control API.
pub(crate) fn router(inner: Arc<Inner>, region: usize) -> Router {
    let door = Door {
        inner: Arc::clone(&inner),
        region,
    };
    Router::new()
        .merge(control::router(inner))
        .fallback(handle)
        .layer(DefaultBodyLimit::max(16 * 1024 * 1024))
        .with_state(door)
}

async fn handle(
    State(door): State<Door>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let inner = &door.inner;
    let Some(path) = uri.path().strip_prefix("/v1.0") else {
        return json_response(Err(Rejection::not_found("address; the API is below /v1.0")));
    };
    let call = Call::new(verb(&method), path, inner);
    inner.counts.request(call.verb.word(), call.kind);
    let school = call.school.map(|n| inner.ids.text(n, Kind::School, 0));
    let fault = lock(&inner.faults).pick(&Subject {
        kind: call.kind,
        method: call.verb.word(),
        school: school.as_deref(),
    });
    if let Some(fault) = &fault {
        inner.counts.fault(fault.name());
    }
    let mut answer = match &fault {
        Some(fault) => match before(inner, &call, fault, &wire).await {
            Some(answer) => answer,
            None => work(&door, &call, &uri, &headers, &body, Some(fault)),
        },
        None => work(&door, &call, &uri, &headers, &body, None),
    };
    if let Some(fault) = &fault {
        after(inner, fault, &wire, &mut answer).await;
    }
    let cut = wire.is_cut();
    inner.counts.answer(if cut { 0 } else { answer.status });
    answer.into_response()
}

/// Handles a request: token, rate limit, response.
fn work(
    door: &Door,
    call: &Call<'_>,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    fault: Option<&Fault>,
) -> Answer {
    let inner = &door.inner;
    let now = inner.now();
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|h| h.to_str().ok())
        .and_then(|h| inner.bearer(h));
    let Some(bearer) = bearer else {
        return Answer::json(Err(Rejection::unauthorised()));
    };
    if let Err(seconds) = inner.spend(bearer, now) {
        let mut answer = Answer::json(Err(Rejection::too_many()));
        if inner.options.rate_limit_header {
            answer.retry_after = Some(seconds.to_string());
        }
        return answer;
    }
    let mut fate = fate(fault);
    if let Some(fault @ Fault::RefuseExtras { later, silent, .. }) = fault {
        let errors = extras(fault, body);
        match (errors.as_slice(), later) {
            ([], _) => {}
            (_, false) if *silent => return Answer::json(Err(Rejection::invalid(&[]))),
            (errors, false) => return Answer::json(Err(Rejection::invalid(errors))),
            ([(_, message), ..], true) => {
                let unsaid = "The MIS rejected the register.";
                fate = Fate::Rejected(if *silent { unsaid } else { message }.to_owned());
            }
        }
    }
    let domains = inner.domains();
    let domain = domains.get(door.region).map_or("", String::as_str);
    let query = Query::parse(uri.query().unwrap_or_default());
    Answer::json(api::answer(&api::Request {
        inner,
        call,
        query: &query,
        body,
        now,
        region: door.region,
        url: &format!("http://{domain}{}", uri.path()),
        bearer,
        fate,
    }))
}

/// The fields of a register that the fault rejects, each with a message.
fn extras(fault: &Fault, body: &[u8]) -> Vec<(String, String)> {
    let Fault::RefuseExtras {
        comment_max,
        minutes_late,
        ..
    } = fault
    else {
        return Vec::new();
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let marks = body["attendance"].as_array().cloned().unwrap_or_default();
    let mut errors = Vec::new();
    for (place, mark) in marks.iter().enumerate() {
        let length = mark["comment"]
            .as_str()
            .map_or(0, |text| text.chars().count());
        if let Some(max) = comment_max
            && length > usize::from(*max)
        {
            let message = match max {
                0 => "Comments are not supported.".to_owned(),
                max => format!("The comment may not be greater than {max} characters."),
            };
            errors.push((format!("attendance.{place}.comment"), message));
        }
        if *minutes_late && !mark["minutes_late"].is_null() {
            let message = "The minutes late are not supported.".to_owned();
            errors.push((format!("attendance.{place}.minutes_late"), message));
        }
    }
    errors
}

fn fate(fault: Option<&Fault>) -> Fate {
    match fault {
        Some(Fault::RejectWriteback { message }) => Fate::Rejected(
            message
                .clone()
                .unwrap_or_else(|| "The MIS rejected the register.".to_owned()),
        ),
        Some(Fault::StuckWriteback) => Fate::Stuck,
        Some(Fault::UnknownStatus { word }) => Fate::Worded(word.clone()),
        Some(Fault::LoseMark { named }) => Fate::Lossy { named: *named },
        _ => Fate::Usual,
    }
}

/// Applies a fault before the request is handled; it may return the response.
async fn before(inner: &Inner, call: &Call<'_>, fault: &Fault, wire: &Wire) -> Option<Answer> {
    match fault {
        Fault::TooManyRequests { retry_after } => {
            let mut answer = Answer::json(Err(Rejection::too_many()));
            answer.retry_after = header(*retry_after, inner.now());
            Some(answer)
        }
        Fault::Status {
            status,
            retry_after,
        } => Some(Answer {
            status: *status,
            content_type: "text/html",
            body: b"<html><body>The server had an error.</body></html>".to_vec(),
            value: None,
            retry_after: header(*retry_after, inner.now()),
        }),
        Fault::Slow {
            millis,
            after: false,
        } => {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
            None
        }
        Fault::CutBefore => {
            wire.cut();
            Some(Answer::json(Ok(Value::Null)))
        }
        Fault::Empty => Some(Answer::json(Ok(json!({"data": []})))),
        Fault::Unauthorised => Some(Answer::json(Err(Rejection::unauthorised()))),
        Fault::Forbidden => Some(Answer::json(Err(Rejection::forbidden("any data")))),
        Fault::Offline { seconds } => {
            window(inner, call, *seconds, true);
            None
        }
        Fault::StaleReads { seconds } => {
            window(inner, call, *seconds, false);
            None
        }
        _ => None,
    }
}

fn window(inner: &Inner, call: &Call<'_>, seconds: u32, offline: bool) {
    let now = inner.now();
    let Some(mut school) = call.school.and_then(|n| inner.awake(n, now)) else {
        return;
    };
    let until = Some(now + TimeDelta::seconds(i64::from(seconds)));
    if offline {
        school.set_offline(now, until);
    } else {
        school.set_frozen(now, until);
    }
}

/// Applies a fault to the response.
async fn after(inner: &Inner, fault: &Fault, wire: &Wire, answer: &mut Answer) {
    match fault {
        Fault::Slow {
            millis,
            after: true,
        } => tokio::time::sleep(Duration::from_millis(*millis)).await,
        Fault::CutAfter => wire.cut(),
        Fault::InvalidJson => {
            let half = answer.body.len() / 2;
            answer.body.truncate(half);
        }
        Fault::CutPages => answer.change(|value| {
            if let Some(meta) = value.get_mut("meta").and_then(Value::as_object_mut) {
                meta.remove("pagination");
            }
        }),
        Fault::ForeignNext => {
            let domains = inner.domains();
            answer.change(|value| foreign_next(value, &domains));
        }
        _ => {}
    }
}

fn foreign_next(value: &mut Value, domains: &[String]) {
    let (Some(own), Some(other)) = (domains.first(), domains.get(1)) else {
        return;
    };
    if let Some(next) = value.pointer_mut("/meta/pagination/next")
        && let Some(link) = next.as_str()
    {
        *next = json!(link.replacen(own.as_str(), other, 1));
    }
}

fn header(retry_after: RetryAfter, now: DateTime<Utc>) -> Option<String> {
    match retry_after {
        RetryAfter::None => None,
        RetryAfter::Seconds(n) => Some(n.to_string()),
        RetryAfter::Date(n) => {
            let at = now + TimeDelta::seconds(i64::from(n));
            Some(at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        }
    }
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::GET => Verb::Get,
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::DELETE => Verb::Delete,
        _ => Verb::Other,
    }
}

/// A response before it is sent.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    value: Option<Value>,
    retry_after: Option<String>,
}

impl Answer {
    fn json(reply: Reply) -> Self {
        let (status, value) = match reply {
            Ok(value) => (200, value),
            Err(rejection) => (rejection.status, rejection.body),
        };
        Self {
            status,
            content_type: "application/json",
            body: value.to_string().into_bytes(),
            value: Some(value),
            retry_after: None,
        }
    }

    fn change(&mut self, with: impl FnOnce(&mut Value)) {
        if let Some(value) = &mut self.value {
            with(value);
            self.body = value.to_string().into_bytes();
        }
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(value) = self
            .retry_after
            .and_then(|v| HeaderValue::from_str(&v).ok())
        {
            headers.insert(RETRY_AFTER, value);
        }
        response
    }
}

fn json_response(reply: Reply) -> Response {
    Answer::json(reply).into_response()
}
