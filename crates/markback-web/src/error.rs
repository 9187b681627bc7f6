//! Error pages. They look like the others and tell what happened and what to do.

use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    layout::{Frame, html},
    visitor::{SIGN_IN, Visitor},
};

/// Seconds after which to try again when the database cannot be reached.
const STORE_AGAIN: u32 = 5;

/// The kind of an error, which decides the status and the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing at the address, or nothing that the visitor may see.
    NotFound,
    /// The address takes other methods.
    WrongMethod,
    /// The visitor's role does not allow it.
    Forbidden,
    /// A form or an address cannot be read.
    Invalid,
    /// Somebody else was faster.
    Conflict,
    /// Too many requests.
    TooMany,
    /// The database cannot be reached, or the service is busy.
    Unavailable,
    /// A fault of the service.
    Internal,
}

impl ErrorKind {
    /// The status of an answer of this kind.
    pub(crate) fn status(self) -> StatusCode {
        self.about().0
    }

    fn about(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The address may be wrong, or what was here has been removed. Start from the first page.",
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This page does not take that",
                "Go back and use the buttons of the page.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "You may not do this",
                "Ask whoever looks after the users to do it, or to give you another role.",
            ),
            Self::Invalid => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Something in the form is not right",
                "Go back, correct it, and send it again. Nothing was changed.",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "It has changed meanwhile",
                "Open the page again, look at what changed, and decide again. Nothing was changed by you.",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many tries",
                "Wait a little, then try again.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "Try again in a few seconds. Events that were received are safe.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "Try again. If it happens again, tell whoever runs this service; its log names the place.",
            ),
        }
    }
}

/// An error page. A layer of the router draws it, so that it has the navigation of the visitor.
#[derive(Clone, Debug)]
pub struct PageError {
    kind: ErrorKind,
    detail: Option<String>,
}

impl PageError {
    /// An error with the words of its kind.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, detail: None }
    }

    /// Says what exactly is wrong. It is shown to the visitor, never logged.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<outbox::Error> for PageError {
    fn from(error: outbox::Error) -> Self {
        tracing::error!(%error, "the database cannot be reached for a page");
        Self::new(ErrorKind::Unavailable)
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page cannot be drawn");
        Self::new(ErrorKind::Internal)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, _) = self.kind.about();
        let mut response = (status, title).into_response();
        if self.kind == ErrorKind::Unavailable {
            let again = HeaderValue::from(STORE_AGAIN);
            response.headers_mut().insert(header::RETRY_AFTER, again);
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    help: &'static str,
    detail: Option<String>,
}

/// Draws the error pages of the pages below.
pub(crate) async fn as_page(request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let mut response = next.run(request).await;
    let Some(PageError { kind, detail }) = response.extensions_mut().remove::<PageError>() else {
        return response;
    };
    let (status, title, help) = kind.about();
    let page = ErrorPage {
        frame: Frame::new(title, visitor.as_ref()),
        help,
        detail,
    };
    match html(&page) {
        Ok(mut drawn) => {
            *drawn.status_mut() = status;
            if let Some(again) = response.headers_mut().remove(header::RETRY_AFTER) {
                drawn.headers_mut().insert(header::RETRY_AFTER, again);
            }
            if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
                drawn.headers_mut().insert(header::ALLOW, allow);
            }
            drawn
        }
        Err(_) => response,
    }
}

/// The answer at addresses that do not exist. Without a visitor, it is that of every page; but a program without a sign-in
/// must not send a browser round in circles.
pub(crate) async fn nothing_here(
    uri: Uri,
    visitor: Result<Visitor, Response>,
) -> Result<PageError, Response> {
    match visitor {
        Err(to_sign_in) if uri.path() != SIGN_IN => Err(to_sign_in),
        _ => Ok(PageError::new(ErrorKind::NotFound)),
    }
}

/// The answer to a method that a page does not take.
pub(crate) async fn wrong_method(_: Visitor) -> PageError {
    PageError::new(ErrorKind::WrongMethod)
}
