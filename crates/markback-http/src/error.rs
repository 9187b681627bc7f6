//! What an error looks like to a client: a status, a word to branch on, a sentence, and the fields that are wrong.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer that says no: `{"error":{"kind","message","problems":[{"key","value","message","help"}]}}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    header: Option<Header>,
    body: Body,
}

/// A header that goes with some errors.
#[derive(Clone, Copy, Debug)]
enum Header {
    /// How to be let in.
    WwwAuthenticate,
    /// After how many seconds to ask again.
    RetryAfter(u32),
}

/// What went wrong, as a word that programs can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The bearer key is missing or wrong.
    Unauthorised,
    /// No such address.
    NotFound,
    /// The address takes other methods.
    MethodNotAllowed,
    /// The settings know no such school.
    UnknownSchool,
    /// The school has no such event.
    UnknownEvent,
    /// The settings know no such group.
    UnknownGroup,
    /// The school has no such sync.
    UnknownSync,
    /// What the cursor points at is not kept any more. Read the list.
    CursorGone,
    /// The event is in a state in which this cannot be done, or its id stands for an event with other content.
    Conflict,
    /// The body is no JSON, or breaks off.
    InvalidJson,
    /// What came is JSON, but not what it should be.
    InvalidInput,
    /// The body or the list is too long.
    TooLarge,
    /// The store cannot be reached now. Try again.
    Unavailable,
    /// The answer took too long. Ask again.
    TimedOut,
    /// Something is wrong with the service itself.
    Internal,
}

/// One thing that is wrong with what came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `at`, `[3].answers.Why`. Empty for the whole.
    pub key: String,
    /// What stands there, where it can be told.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

#[derive(Debug, Serialize)]
struct Body {
    kind: Kind,
    message: String,
    problems: Vec<Problem>,
}

/// What the log tells of an error: no word of what came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) problems: usize,
}

#[derive(Serialize)]
struct Envelope {
    error: Body,
}

impl ApiError {
    /// With no field to name.
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

    /// With what is wrong, field by field.
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.body.problems = problems;
        self
    }

    /// The settings know no such school.
    pub fn unknown_school() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Kind::UnknownSchool,
            "the settings know no school of this id; add a [[school]] for it, or correct the address",
        )
    }

    /// Something in the question or the body is not as it should be.
    pub fn wrong_question(problem: Problem) -> Self {
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

    /// The store cannot be reached; to be asked again in so many seconds.
    pub fn unavailable(message: impl Into<String>, seconds: u32) -> Self {
        Self {
            header: Some(Header::RetryAfter(seconds)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Unavailable, message)
        }
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
        let told = Told {
            kind: self.body.kind,
            problems: self.body.problems.len(),
        };
        let mut response = (self.status, Json(Envelope { error: self.body })).into_response();
        response.extensions_mut().insert(told);
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
