//! Error responses: a status, a machine-readable kind, a sentence, and the problems by field.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An error response: `{"error":{"kind","message","problems":[{"key","value","message","help"}]}}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    header: Option<Header>,
    body: Body,
}

/// An additional header.
#[derive(Clone, Copy, Debug)]
enum Header {
    /// How to authenticate.
    WwwAuthenticate,
    /// After how many seconds to retry.
    RetryAfter(u32),
}

/// The kind of an error, which programs can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The bearer key is missing or wrong.
    Unauthorised,
    /// The key lacks a scope.
    Forbidden,
    /// Too many requests with a wrong key. Try again later.
    TooMany,
    /// No such address.
    NotFound,
    /// The address accepts other methods.
    MethodNotAllowed,
    /// The settings have no such school.
    UnknownSchool,
    /// The school has no such event.
    UnknownEvent,
    /// The settings know no such group.
    UnknownGroup,
    /// The school has no such sync.
    UnknownSync,
    /// The cursor is older than the kept changes. Read the list.
    CursorGone,
    /// The event's state does not allow this, or its id belongs to an event with other content.
    Conflict,
    /// The body is not JSON, or is incomplete.
    InvalidJson,
    /// The request is valid JSON with invalid content.
    InvalidInput,
    /// The body or the list is too long.
    TooLarge,
    /// The database cannot be reached. Try again.
    Unavailable,
    /// The answer took too long. Try again.
    TimedOut,
    /// A fault of the service.
    Internal,
}

/// A problem in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `at`, `[3].answers.Why`. Empty for the whole request.
    pub key: String,
    /// The value, if it may be shown.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

#[derive(Debug, Serialize)]
struct Body {
    kind: Kind,
    message: String,
    problems: Vec<Problem>,
}

/// What the log shows of an error: nothing of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedError {
    pub(super) kind: Kind,
    pub(super) problems: usize,
}

#[derive(Serialize)]
struct Envelope {
    error: Body,
}

impl ApiError {
    /// An error without problems by field.
    pub fn new(status: StatusCode, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status,
            header: None,
            body: Body {
                kind,
                message: message.into(),
                problems: Vec::new(),
            },
        }
    }

    /// Adds problems by field.
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.body.problems = problems;
        self
    }

    /// The settings have no such school.
    pub fn unknown_school() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Kind::UnknownSchool,
            "the settings have no school with this id; add a [[school]] for it, or correct the address",
        )
    }

    /// A parameter or the body is invalid.
    pub fn invalid_input(problem: Problem) -> Self {
        let Problem {
            key, message, help, ..
        } = &problem;
        let message = if key.is_empty() {
            format!("{message}; {help}")
        } else {
            format!("`{key}`: {message}; {help}")
        };
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Kind::InvalidInput,
            message,
        )
        .with_problems(vec![problem])
    }

    /// The database cannot be reached; retry after so many seconds.
    pub fn unavailable(message: impl Into<String>, seconds: u32) -> Self {
        Self {
            header: Some(Header::RetryAfter(seconds)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Unavailable, message)
        }
    }

    /// Too many of such requests; retry after so many seconds.
    pub fn too_many(message: &'static str, seconds: u32) -> Self {
        Self {
            header: Some(Header::RetryAfter(seconds)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, Kind::TooMany, message)
        }
    }

    /// The path is not encoded as it should be.
    pub fn unreadable_address() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Kind::NotFound,
            "the address cannot be read; encode ids in it as UTF-8 with percent signs",
        )
    }

    /// The bearer key is missing or wrong.
    pub fn unauthorised(message: &'static str) -> Self {
        Self {
            header: Some(Header::WwwAuthenticate),
            ..Self::new(StatusCode::UNAUTHORIZED, Kind::Unauthorised, message)
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let logged = LoggedError {
            kind: self.body.kind,
            problems: self.body.problems.len(),
        };
        let mut response = (self.status, Json(Envelope { error: self.body })).into_response();
        response.extensions_mut().insert(logged);
        let header = self.header.map(|header| match header {
            Header::WwwAuthenticate => (
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"markback\""),
            ),
            Header::RetryAfter(seconds) => (header::RETRY_AFTER, seconds.into()),
        });
        response.headers_mut().extend(header);
        response
    }
}
