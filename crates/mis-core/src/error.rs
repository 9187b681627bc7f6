//! What can go wrong between a host and an MIS, and how to go on.

use std::{fmt, sync::Arc};

use wonde::Recovery;

use crate::Ability;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The MIS cannot keep this. No request was sent.
    Unsupported(Ability),
    /// The code is not in the school's code book, or stands there more than once and nothing tells which is in use. No
    /// request was sent.
    UnknownCode,
    /// The pupil has no lesson in that session that could bear the mark.
    NoLesson,
    /// The mark is not well formed (no minutes, an overlong comment ...). No request was sent.
    InvalidMark,
    /// Wonde or the MIS would not have the mark or the request.
    Refused,
    /// The token is not known.
    Unauthorized,
    /// The token may not do this at this school.
    Forbidden,
    /// The school, or what was asked of it, is not there.
    NotFound,
    /// Too many requests.
    RateLimited,
    /// Wonde or the school's MIS did not answer as it should; later it may.
    Unavailable,
    /// The answer could not be read.
    Decode,
    /// No adapter bears that id, or two do, or one is badly declared.
    Registry,
    /// What the host set up is wrong: an address, a token, a time zone. Also an answer that points to another address.
    Config,
}

/// An error of an adapter, the registry or the functions that adapters share.
///
/// Cheap to clone, since one failed request may stand for many marks. The text never holds a token, a name or a comment.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    recovery: Recovery,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    said: Option<String>,
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that no waiting heals. The message says what was wrong, where, and what to do.
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
                said: None,
            }),
        }
    }

    /// The refusal of something that `mis` cannot keep.
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

    /// The other side's own wording, for the operator's eyes: it may quote a mark, so it is no part of the error's text.
    pub fn said(&self) -> Option<&str> {
        self.inner.said.as_deref()
    }

    /// The same failure for marks that were never sent: what is unknown of those before them is known of these.
    pub(crate) fn for_unsent(&self) -> Self {
        if self.inner.recovery == Recovery::Unknown {
            Self::with_recovery(
                self.inner.kind,
                Recovery::Retry,
                format!(
                    "not sent, for the request before it failed: {}",
                    self.inner.message
                ),
            )
        } else {
            self.clone()
        }
    }

    /// Whether the whole request was refused for what it asked, so that a part of it may still go through.
    pub(crate) fn is_refusal(&self) -> bool {
        self.inner.kind == ErrorKind::Refused
    }
}

impl From<wonde::Error> for Error {
    fn from(error: wonde::Error) -> Self {
        use wonde::ErrorKind as W;
        let kind = match error.kind() {
            W::Unauthorized => ErrorKind::Unauthorized,
            W::Forbidden => ErrorKind::Forbidden,
            W::NotFound => ErrorKind::NotFound,
            W::BadRequest | W::Validation => ErrorKind::Refused,
            W::RateLimited => ErrorKind::RateLimited,
            W::Decode => ErrorKind::Decode,
            // Mostly an address is wrong, or something stands in between; both need somebody, and the second may pass.
            W::Config | W::ForeignHost | W::Redirected => ErrorKind::Config,
            // Server, Timeout, Connect, Interrupted, and what the client may learn to tell apart later.
            _ => ErrorKind::Unavailable,
        };
        Self {
            inner: Arc::new(Inner {
                kind,
                recovery: error.recovery(),
                message: error.to_string(),
                said: error.server_message().map(str::to_owned),
                source: Some(Arc::new(error)),
            }),
        }
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
        // The client's text is this error's own text already: what follows it in the chain is the client's cause.
        self.inner
            .source
            .as_deref()
            .and_then(|source| source.source())
    }
}
