//! Error responses: problem details as in RFC 9457, with the problems by field.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::request_id;
use markback::configuration::Conflict;

/// Seconds after which to retry when the database cannot be reached.
pub(crate) const STORE_AGAIN: u32 = 5;
/// The content type of an error response.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error response.
#[derive(Debug)]
pub struct ApiError {
    kind: Kind,
    header: Option<Header>,
    detail: String,
    problems: Vec<Problem>,
    conflict: Option<Box<Conflict>>,
}

/// An additional header.
#[derive(Clone, Copy, Debug)]
enum Header {
    /// How to authenticate.
    WwwAuthenticate,
    /// After how many seconds to retry.
    RetryAfter(u32),
}

/// The kind of an error, which programs can rely on. It decides the status, and its name is the end of the `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The bearer key is missing or wrong.
    Unauthorised,
    /// The key lacks a scope.
    Forbidden,
    /// Too many requests, such as with a wrong key.
    TooManyRequests,
    /// There is nothing at the address.
    NotFound,
    /// The address cannot be read.
    InvalidAddress,
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
    /// There is no such endpoint for webhooks.
    UnknownEndpoint,
    /// There is no such key.
    UnknownKey,
    /// There is no such template.
    UnknownTemplate,
    /// There is no such version or draft of the settings.
    UnknownVersion,
    /// The settings file keeps these settings.
    SettingsInFile,
    /// Somebody else wrote a version of the settings meanwhile.
    SettingsChanged,
    /// Somebody else than the author of the settings must let them rule.
    FourEyes,
    /// The request does not say which version it is based on.
    VersionNeeded,
    /// The settings have problems.
    InvalidSettings,
    /// The cursor is older than the kept changes.
    CursorGone,
    /// The state of the event does not allow this, or its id belongs to an event with other content.
    Conflict,
    /// The body is not JSON, or is incomplete.
    InvalidJson,
    /// The request can be read, but its content is invalid.
    InvalidInput,
    /// The body or the list is too long.
    TooLarge,
    /// The service cannot do this at the moment.
    Unavailable,
    /// The answer took too long.
    TimedOut,
    /// A fault of the service.
    Internal,
}

/// What is said about each error of a [`Kind`].
pub(crate) struct About {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    /// What the client does about it.
    pub(crate) help: &'static str,
}

impl Kind {
    /// All kinds.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in `type`, metrics and the log.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The `type` of a problem: the address, relative to the service, of the page that describes it.
    pub fn uri(self) -> String {
        format!("/problems/{}", self.as_str())
    }

    pub(crate) fn about(self) -> About {
        let (status, title, help) = match self {
            Self::Unauthorised => (
                StatusCode::UNAUTHORIZED,
                "The key is missing or wrong",
                "Send the header `Authorization: Bearer` with a key that is valid.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "The key does not allow this",
                "Use a key with the scope that `detail` names.",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "Send the request again after the seconds in the header `Retry-After`, with a right key; send fewer requests, such as \
                 events in lists.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing at this address",
                "Compare the address with the reference.",
            ),
            Self::InvalidAddress => (
                StatusCode::BAD_REQUEST,
                "The address cannot be read",
                "Encode ids and names in it as UTF-8 with percent signs.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The address accepts other methods",
                "Use a method that the header `Allow` names.",
            ),
            Self::UnknownSchool => (
                StatusCode::NOT_FOUND,
                "Unknown school",
                "Correct the school's id in the address, or add the school to the settings.",
            ),
            Self::UnknownEvent => (
                StatusCode::NOT_FOUND,
                "Unknown event",
                "Correct the event's id. An event is removed after its retention.",
            ),
            Self::UnknownGroup => (
                StatusCode::NOT_FOUND,
                "Unknown group",
                "Correct the group's name; encode spaces in it as %20.",
            ),
            Self::UnknownSync => (
                StatusCode::NOT_FOUND,
                "Unknown sync",
                "Correct the sync's id. A sync is removed after its retention.",
            ),
            Self::UnknownEndpoint => (
                StatusCode::NOT_FOUND,
                "Unknown webhook endpoint",
                "Correct the endpoint's id; the list of endpoints has them all.",
            ),
            Self::UnknownKey => (
                StatusCode::NOT_FOUND,
                "Unknown key",
                "Correct the key's id; it is the public part, which the list of keys has.",
            ),
            Self::UnknownTemplate => (
                StatusCode::NOT_FOUND,
                "Unknown template",
                "Correct the template's name; the list of templates has them all.",
            ),
            Self::UnknownVersion => (
                StatusCode::NOT_FOUND,
                "Unknown version",
                "Correct the number; the list of versions has them all.",
            ),
            Self::SettingsInFile => (
                StatusCode::CONFLICT,
                "The settings file keeps these settings",
                "Change them in the file, or move the school into the database with `adopt`.",
            ),
            Self::SettingsChanged => (
                StatusCode::PRECONDITION_FAILED,
                "Somebody else changed the settings",
                "Compare the two texts in `conflict`, and send yours again with the newest number in `If-Match`.",
            ),
            Self::FourEyes => (
                StatusCode::FORBIDDEN,
                "A second pair of eyes is needed",
                "Have somebody else, with a key of their own, look at the draft and activate it.",
            ),
            Self::VersionNeeded => (
                StatusCode::PRECONDITION_REQUIRED,
                "The version is missing",
                "Send the header `If-Match` with the number of the version that the change is based on.",
            ),
            Self::InvalidSettings => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid settings",
                "Correct each of the `problems` in the settings. Nothing was changed.",
            ),
            Self::CursorGone => (
                StatusCode::GONE,
                "The cursor is too old",
                "Read the whole list, and continue from the cursor in it.",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "Conflict",
                "If an event's id is in use, give the new event an id of its own; otherwise read the state, which `detail` names.",
            ),
            Self::InvalidJson => (
                StatusCode::BAD_REQUEST,
                "The body is not JSON",
                "Send the complete body, as JSON in UTF-8.",
            ),
            Self::InvalidInput => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid input",
                "Correct each of the `problems`, and send the request again. Nothing was stored.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
                "Send the events in several requests.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "Send the request again after the seconds in the header `Retry-After`.",
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "No answer in time",
                "Send the request again. Events with the same ids are not stored twice.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault of the service",
                "Report it with the `instance`, which the service's log names too.",
            ),
        };
        About {
            status,
            title,
            help,
        }
    }
}

/// A problem in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Where in the body, as a JSON pointer: `/events/3/at`. Empty for the whole body; absent if it is not in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The query parameter, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The value, if it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The setting, if it is in a text of settings: `group[1].writeback.am.late`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The line of that text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Problem {
    /// A problem of the body as a whole.
    pub fn of_body(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            pointer: Some(String::new()),
            message: message.into(),
            help: help.into(),
            ..Self::default()
        }
    }

    /// The place, as text: the pointer or the parameter. Empty for the whole body.
    fn place(&self) -> &str {
        let place = self.parameter.as_deref().or(self.pointer.as_deref());
        place.unwrap_or_default()
    }
}

/// Problem details as in RFC 9457.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemDetails {
    /// The kind of error: an address, relative to the service, of a page that describes it. It does not change between
    /// versions.
    r#type: String,
    /// The kind of error, as text.
    title: &'static str,
    /// The status of the response.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What was wrong, and what to do.
    detail: String,
    /// This request, by its id, which the log has too: `urn:markback:request:` and the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Each problem of the request, if there are several or they are about single fields.
    problems: Vec<Problem>,
    /// Both texts, if two people changed the same settings at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<Box<Conflict>>,
}

/// What the log shows of an error: nothing of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedError {
    pub(super) kind: Kind,
    pub(super) problems: usize,
}

impl ApiError {
    /// An error without problems by field. `detail` says what was wrong and what to do.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            header: None,
            detail: detail.into(),
            problems: Vec::new(),
            conflict: None,
        }
    }

    /// Adds problems by field.
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// Adds both texts of settings that two people changed at once.
    pub(crate) fn with_conflict(mut self, conflict: Box<Conflict>) -> Self {
        self.conflict = Some(conflict);
        self
    }

    /// The settings have no such school.
    pub fn unknown_school() -> Self {
        Self::new(
            Kind::UnknownSchool,
            "the settings have no school with this id; add a [[school]] for it, or correct the address",
        )
    }

    /// A parameter or the body is invalid.
    pub fn invalid_input(problem: Problem) -> Self {
        let (message, help) = (&problem.message, &problem.help);
        let detail = match problem.place() {
            "" => format!("{message}; {help}"),
            place => format!("`{place}`: {message}; {help}"),
        };
        Self::new(Kind::InvalidInput, detail).with_problems(vec![problem])
    }

    /// The problems of a request of which nothing was stored.
    pub(crate) fn not_stored(kind: Kind, problems: Vec<Problem>) -> Self {
        let detail = match problems.as_slice() {
            [one] => match one.place() {
                "" => format!("{}; {}; nothing was stored", one.message, one.help),
                place => format!(
                    "`{place}`: {}; {}; nothing was stored",
                    one.message, one.help
                ),
            },
            many => format!("{} problems; nothing was stored", many.len()),
        };
        Self::new(kind, detail).with_problems(problems)
    }

    /// The service cannot do this at the moment; retry after so many seconds.
    pub fn unavailable(detail: impl Into<String>, seconds: u32) -> Self {
        Self {
            header: Some(Header::RetryAfter(seconds)),
            ..Self::new(Kind::Unavailable, detail)
        }
    }

    /// The database cannot be reached. The log has the error, and in the request's span what was asked.
    pub(crate) fn no_database(error: &impl std::fmt::Display, advice: &str) -> Self {
        tracing::error!(%error, "the database could not be used");
        let detail = format!("the database cannot be reached; {advice}");
        Self::unavailable(detail, STORE_AGAIN)
    }

    /// Too many of such requests; retry after so many seconds.
    pub fn too_many(detail: &'static str, seconds: u32) -> Self {
        Self {
            header: Some(Header::RetryAfter(seconds)),
            ..Self::new(Kind::TooManyRequests, detail)
        }
    }

    /// The path is not encoded as it should be.
    pub fn unreadable_address() -> Self {
        Self::new(
            Kind::InvalidAddress,
            "the address cannot be read; encode ids in it as UTF-8 with percent signs",
        )
    }

    /// The bearer key is missing or wrong.
    pub fn unauthorised(detail: &'static str) -> Self {
        Self {
            header: Some(Header::WwwAuthenticate),
            ..Self::new(Kind::Unauthorised, detail)
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let logged = LoggedError {
            kind: self.kind,
            problems: self.problems.len(),
        };
        let About { status, title, .. } = self.kind.about();
        let details = ProblemDetails {
            r#type: self.kind.uri(),
            title,
            status: status.as_u16(),
            detail: self.detail,
            instance: request_id::current().map(|id| format!("urn:markback:request:{id}")),
            problems: self.problems,
            conflict: self.conflict,
        };
        let mut response = (status, Json(details)).into_response();
        response.extensions_mut().insert(logged);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.extend(self.header.map(|header| match header {
            Header::WwwAuthenticate => (
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"markback\""),
            ),
            Header::RetryAfter(seconds) => (header::RETRY_AFTER, seconds.into()),
        }));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_an_address_of_its_own_and_an_error_status() {
        let mut addresses: Vec<_> = Kind::ALL.iter().map(|kind| kind.uri()).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), Kind::ALL.len());
        assert!(addresses.contains(&"/problems/unknown-school".to_owned()));
        for kind in Kind::ALL {
            let status = kind.about().status;
            assert!(status.is_client_error() || status.is_server_error());
        }
    }
}
