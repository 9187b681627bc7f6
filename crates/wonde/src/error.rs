//! Errors and how to recover from them.

use std::{fmt, time::Duration};

use crate::wire::body::Unreadable;

/// The result of fallible functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The token is invalid (401).
    Unauthorized,
    /// The token lacks the permission at this school (403).
    Forbidden,
    /// Not found, or not in this region (404).
    NotFound,
    /// The request is malformed (400 and similar).
    BadRequest,
    /// The content is invalid (422): one mark of a register, or all.
    Validation,
    /// Too many requests (429).
    RateLimited,
    /// Wonde failed to handle the request (5xx).
    Server,
    /// No response in time.
    Timeout,
    /// No connection; nothing was sent.
    Connect,
    /// The connection broke after the request had begun.
    Interrupted,
    /// The response cannot be read.
    Decode,
    /// A redirect (3xx). Redirects are not followed, because they would carry the token along.
    Redirected,
    /// The address is at another host than the school's. Nothing was sent.
    ForeignHost,
    /// The client is misconfigured or was called incorrectly. Nothing was sent.
    Config,
}

/// How to recover from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The same request will fail again.
    Never,
    /// It did not happen; the same request may succeed later.
    Retry,
    /// It did not happen; the same request may succeed after this time, which is capped at one day.
    RetryAfter(Duration),
    /// It may have happened: check before repeating it.
    Unknown,
}

/// An error of this crate.
///
/// Neither `Display` nor `Debug` nor a source ever holds the token, a name, a comment or a response's text.
/// Wonde's own message is available separately, as [`server_message`](Error::server_message).
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    recovery: Recovery,
    message: String,
    context: Context,
    server_message: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The request that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// `GET`, `POST`, `PUT` or `DELETE`; empty if there was no request.
    pub method: &'static str,
    /// The path of its address, without the query; empty if there was no request.
    pub path: String,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, recovery: Recovery, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            recovery,
            message: message.into(),
            context: Context::default(),
            server_message: None,
            source: None,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, Recovery::Never, message)
    }

    pub(crate) fn foreign(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ForeignHost, Recovery::Never, message)
    }

    /// A successful response that cannot be read. A write may have taken effect all the same.
    pub(crate) fn unreadable(why: Unreadable, effect: Effect) -> Self {
        let (recovery, message) = match (why, effect) {
            (Unreadable::NotJson(words) | Unreadable::Misfit(words), Effect::Write) => (
                Recovery::Unknown,
                format!("{words}; it may have been carried out: check before you repeat it"),
            ),
            // Something between us and Wonde answered; that is temporary.
            (Unreadable::NotJson(words), Effect::Read) => {
                (Recovery::Retry, format!("{words}; try again"))
            }
            (Unreadable::Misfit(words), Effect::Read) => (
                Recovery::Never,
                format!("the response has an unsupported format: {words}"),
            ),
        };
        Self::new(ErrorKind::Decode, recovery, message)
    }

    pub(crate) fn at(mut self, method: &'static str, path: &str, status: Option<u16>) -> Self {
        self.inner.context = Context {
            method,
            path: path.to_owned(),
            status,
        };
        self
    }

    pub(crate) fn with_server_message(mut self, message: Option<String>) -> Self {
        self.inner.server_message = message;
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.inner.source = Some(Box::new(source));
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns how to recover.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery
    }

    /// Returns the request that failed.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// Returns Wonde's own message, at most 1,000 characters, without the token. It may repeat what was sent, including
    /// names and comments: show it to operators and never log it.
    pub fn server_message(&self) -> Option<&str> {
        self.inner.server_message.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { method, path, .. } = &self.inner.context;
        if !method.is_empty() {
            write!(f, "{method} {path}: ")?;
        }
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("recovery", &self.inner.recovery)
            .field("message", &self.inner.message)
            .field("context", &self.inner.context)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

/// Whether a request can change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
}
