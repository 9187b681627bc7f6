//! What went wrong, and how to go on.

use std::{fmt, time::Duration};

use crate::wire::body::Unreadable;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Wonde does not know the token (401).
    Unauthorized,
    /// The token may not do this at this school (403).
    Forbidden,
    /// There is no such thing, or not in this region (404).
    NotFound,
    /// Wonde does not take such a request (400 and its kin).
    BadRequest,
    /// What was sent is not valid (422): in a register, one mark or all.
    Validation,
    /// Too many requests (429).
    RateLimited,
    /// Wonde failed (5xx).
    Server,
    /// No answer in time.
    Timeout,
    /// No connection; nothing was sent.
    Connect,
    /// The connection broke after the request had begun.
    Interrupted,
    /// The answer cannot be read.
    Decode,
    /// Wonde points elsewhere (3xx). Redirects are not followed: the token would go along.
    Redirected,
    /// A host that is not the school's. Nothing was sent.
    ForeignHost,
    /// The client was set up or called in a way that cannot work. Nothing was sent.
    Config,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The same request will fail again.
    Never,
    /// It did not happen; the same request may do later.
    Retry,
    /// It did not happen; the same request may do after this long. At most a day, whatever Wonde says.
    RetryAfter(Duration),
    /// It may have happened: look before you repeat it.
    Unknown,
}

/// An error of this crate.
///
/// Neither `Display` nor `Debug` nor a source ever holds the token, a name, a comment or an answer's text. What Wonde
/// said itself is kept apart in [`server_message`](Error::server_message).
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
    /// `GET`, `POST`, `PUT` or `DELETE`; empty where there was no request.
    pub method: &'static str,
    /// The path of its address, without the query; empty where there was no request.
    pub path: String,
    /// The status of the answer, where there was one.
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

    /// An answer that came with success and cannot be read. After a write it may have happened all the same.
    pub(crate) fn unreadable(why: Unreadable, effect: Effect) -> Self {
        let (recovery, message) = match (why, effect) {
            (Unreadable::NotJson(words) | Unreadable::Misfit(words), Effect::Write) => (
                Recovery::Unknown,
                format!("{words}; it may have taken hold: look before sending it again"),
            ),
            // Something in between answered in Wonde's place: that passes.
            (Unreadable::NotJson(words), Effect::Read) => {
                (Recovery::Retry, format!("{words}; try again"))
            }
            (Unreadable::Misfit(words), Effect::Read) => (
                Recovery::Never,
                format!("the answer's {words}; this form of answer must be taught to the client"),
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

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// How to go on.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery
    }

    /// The request that failed.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// What Wonde said about it, at most 1,000 characters, without the token. It may repeat what was sent, names and
    /// comments among it: show it to operators, and log it nowhere.
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
