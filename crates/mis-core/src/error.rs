//! What can go wrong between a host and an MIS, and how to go on.

use std::{fmt, sync::Arc, time::Duration};

use crate::Ability;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The MIS cannot do this. No request was sent.
    Unsupported(Ability),
    /// The code is not in the school's code book, or is there more than once without showing which is in use. No
    /// request was sent.
    UnknownCode,
    /// The student has no lesson in that session that could carry the mark.
    NoLesson,
    /// The mark is not well formed (no minutes, an overlong comment ...). No request was sent.
    InvalidMark,
    /// The MIS or the gateway to it rejects the mark or the request.
    Refused,
    /// The token is not valid.
    Unauthorized,
    /// The token has no permission for this at this school.
    Forbidden,
    /// The school, or the record, does not exist.
    NotFound,
    /// Too many requests.
    RateLimited,
    /// The MIS or the gateway to it does not answer properly at the moment.
    Unavailable,
    /// The answer cannot be read.
    Decode,
    /// No adapter has that id, or two have it, or a descriptor is not valid.
    Registry,
    /// The host's settings are wrong: an address, a token, a time zone. Also an answer that points to another address.
    Config,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The same request will fail again.
    Never,
    /// It did not happen; the same request may succeed later.
    Retry,
    /// It did not happen; the same request may succeed after this long.
    RetryAfter(Duration),
    /// It may have happened: look before you repeat it.
    Unknown,
}

/// An error of an adapter or of the registry.
///
/// Cheap to clone, since one failed request may be the result of many marks. The text never contains a token, a name or
/// a comment.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    recovery: Recovery,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    server_message: Option<String>,
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that does not pass by itself. The message says what is wrong, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_recovery(kind, Recovery::Never, message)
    }

    /// An error with a way to go on.
    pub fn with_recovery(kind: ErrorKind, recovery: Recovery, message: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                recovery,
                message: message.into(),
                source: None,
                server_message: None,
            }),
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.inner).source = Some(Arc::new(source));
        self
    }

    /// Adds the other side's own wording; see [`Error::server_message`].
    #[must_use]
    pub fn with_server_message(mut self, message: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).server_message = Some(message.into());
        self
    }

    /// The error for something that `mis` cannot do.
    pub fn unsupported(mis: &str, ability: Ability) -> Self {
        let what = match ability {
            Ability::Session => "attendance marks",
            Ability::Comment => "comments with marks",
            Ability::MinutesLate => "minutes late",
            Ability::EarlyLeaver => "marks for a sign-out",
            Ability::Roster => "reading people and groups",
        };
        Self::new(
            ErrorKind::Unsupported(ability),
            format!(
                "{mis} does not take {what} at this school; ask the capabilities first and leave it out"
            ),
        )
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// How to go on.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery
    }

    /// The other side's own wording, for the operator only: it may quote a mark, so it is not part of the error's text.
    pub fn server_message(&self) -> Option<&str> {
        self.inner.server_message.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("recovery", &self.inner.recovery)
            .field("message", &self.inner.message)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
