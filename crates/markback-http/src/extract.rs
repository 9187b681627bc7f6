//! Extractors for JSON bodies and path parameters, with our own error responses.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
    response::IntoResponse as _,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use markback::text::{bytes_without_bom, json_fault};

use super::error::{ApiError, Kind, Problem};

/// Path parameters.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(super) struct Path<T>(pub(super) T);

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        Self::unreadable_address()
    }
}

/// The body as JSON, whatever its content type says.
pub(super) struct Body(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// An optional JSON body.
pub(super) struct MaybeBody(pub(super) Option<Value>);

impl<S: Send + Sync> FromRequest<S> for MaybeBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        if bytes_without_bom(&bytes)
            .iter()
            .all(u8::is_ascii_whitespace)
        {
            return Ok(Self(None));
        }
        parse(&bytes).map(|body| Self(Some(body)))
    }
}

/// Reads a body in the form that a route takes, which `help` shows. The error quotes nothing of the body.
pub(super) fn read_as<T: DeserializeOwned>(body: Value, help: &str) -> Result<T, ApiError> {
    serde_json::from_value(body).map_err(|_| {
        ApiError::invalid_input(Problem::of_body(
            "the body is not valid for this address",
            help,
        ))
    })
}

/// The longest body in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyMax(pub(super) usize);

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let max = request.extensions().get::<BodyMax>().copied();
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|rejection| unread(rejection, max))
}

fn unread(rejection: BytesRejection, max: Option<BodyMax>) -> ApiError {
    let status = rejection.into_response().status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(
            Kind::TooLarge,
            match max {
                Some(BodyMax(max)) => {
                    format!("the body is longer than {max} bytes; send the events in several parts")
                }
                None => "the body is too long; send the events in several parts".to_owned(),
            },
        );
    }
    ApiError::new(Kind::InvalidJson, "the body is incomplete; send it again")
}

/// Describes invalid JSON by its position: the text itself is pupils' data.
fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let bytes = bytes_without_bom(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let (message, help) = if bytes.iter().all(u8::is_ascii_whitespace) {
            (
                "the body is empty".to_owned(),
                "send an event or a list of events as JSON",
            )
        } else if error.is_eof() {
            (
                format!("the JSON breaks off at {place}"),
                "send the complete JSON; nothing was stored",
            )
        } else {
            (
                format!("this is no JSON from {place} on: {}", json_fault(&error)),
                "correct the JSON; nothing was stored",
            )
        };
        ApiError::new(Kind::InvalidJson, format!("{message}; {help}"))
            .with_problems(vec![Problem::of_body(message, help)])
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"", "is empty")]
    #[case(b"\xef\xbb\xbf \n", "is empty")]
    #[case(
        br#"{"id":"e1" "SECRET":1}"#,
        "line 1, column 12 on: a comma or a closing }"
    )]
    #[case(b" \n", "is empty")]
    #[case(br#"{"id":"e1","person":"SECRET"#, "breaks off at line 1, column 27")]
    #[case(b"{\"id\":\n SECRET}", "no JSON from line 2, column 2")]
    #[case(b"{\"id\":\"\xff\"}", "no JSON from line 1")]
    #[case(b"{} {}", "no JSON from line 1, column 4")]
    fn what_is_no_json_is_told_by_its_place(#[case] body: &[u8], #[case] told: &str) {
        let text = format!("{:?}", parse(body).unwrap_err());
        assert!(text.contains(told) && !text.contains("SECRET"), "{text}");
    }
}
