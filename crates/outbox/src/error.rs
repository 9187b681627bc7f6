//! What can go wrong, and how to go on.

use std::borrow::Cow;
use std::fmt;

use sqlx::migrate::MigrateError;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with the store.
///
/// Its text never holds a payload, a key or a password: it names the operation, the kind and the database's own code.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct Error {
    kind: ErrorKind,
    recovery: Recovery,
    what: Cow<'static, str>,
    detail: String,
    #[source]
    source: Option<Source>,
}

/// The kinds of failure a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database is locked, or all its connections are taken: too much at once.
    Busy,
    /// The disk, or a quota, is full.
    Full,
    /// The database cannot be reached, or went away.
    Unavailable,
    /// Another transaction got in the way (deadlock, serialisation); nothing of this one was kept.
    Conflict,
    /// A lease is no longer held: somebody else has the job, or it is finished.
    Lost,
    /// The file is no database, or is damaged.
    Corrupt,
    /// The database's schema is newer than this program, or was altered by hand.
    Schema,
    /// The settings are wrong: URL, password, rights.
    Config,
    /// What was asked for cannot be stored: a key too long, a zero byte.
    Invalid,
    /// A constraint of one of the host's own tables refused a row.
    Constraint,
    /// Anything else, such as an error in SQL.
    Other,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The same again has the same result until somebody changes something.
    Never,
    /// Nothing was changed; the same again may work.
    Retry,
    /// The connection was lost during a commit: it may have happened. Do the same again and let the
    /// idempotency key (enqueue) or the fence (complete) say whether it had.
    Unknown,
}

/// Keeps the database's error as source without repeating what it quotes.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Source(String);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How to go on.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Whether the store is at present unable to take anything in (busy, full, away), which a
    /// host answers with "try again later".
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unavailable
        )
    }

    /// Says which operation failed.
    #[must_use]
    pub fn during(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.what = what.into();
        self
    }

    pub(crate) fn new(
        kind: ErrorKind,
        what: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let recovery = match kind {
            ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Conflict => {
                Recovery::Retry
            }
            _ => Recovery::Never,
        };
        Self {
            kind,
            recovery,
            what: what.into(),
            detail: detail.into(),
            source: None,
        }
    }

    /// The tables are not as a program needs them; `detail` says how and what to do.
    pub fn schema(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Schema, "its tables", detail)
    }

    /// Something that cannot be stored; `detail` says what, and holds nothing personal.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "cannot be stored", detail)
    }

    /// A lost connection leaves a commit's outcome open.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        let mut error = Self::from(error).during("commit");
        if error.kind == ErrorKind::Unavailable {
            error.recovery = Recovery::Unknown;
        }
        error
    }

    fn with_source(mut self, source: String) -> Self {
        self.source = Some(Source(source));
        self
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        const WHAT: &str = "database";
        match error {
            sqlx::Error::Database(error) => from_database(&*error),
            sqlx::Error::Io(error) => Self::new(
                ErrorKind::Unavailable,
                WHAT,
                "the connection to the database failed",
            )
            .with_source(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::new(
                ErrorKind::Busy,
                WHAT,
                "no connection became free in time; all are in use or the database does not answer",
            ),
            sqlx::Error::PoolClosed => Self::new(ErrorKind::Unavailable, WHAT, "it was closed"),
            sqlx::Error::WorkerCrashed => Self::new(
                ErrorKind::Unavailable,
                WHAT,
                "the connection's thread has ended",
            ),
            sqlx::Error::BeginFailed => Self::new(
                ErrorKind::Conflict,
                WHAT,
                "the transaction could not be started",
            ),
            sqlx::Error::Protocol(text) => {
                // The server hung up in the middle of an answer.
                Self::new(ErrorKind::Unavailable, WHAT, "the answer was cut off").with_source(text)
            }
            sqlx::Error::Tls(error) => {
                Self::new(ErrorKind::Config, WHAT, "TLS failed").with_source(error.to_string())
            }
            sqlx::Error::Configuration(_) => {
                // Its text may quote the URL, and with it the password.
                Self::new(
                    ErrorKind::Config,
                    WHAT,
                    "the URL or its parameters are wrong",
                )
            }
            sqlx::Error::Migrate(error) => Self::from(*error),
            sqlx::Error::RowNotFound => Self::new(ErrorKind::Other, WHAT, "no such row"),
            sqlx::Error::ColumnDecode { index, .. } => Self::new(
                ErrorKind::Corrupt,
                WHAT,
                format!("column {index} holds what it should not"),
            ),
            other => Self::new(ErrorKind::Other, WHAT, kind_of(&other)),
        }
    }
}

/// The name of an error we have no better words for; its text may quote values.
fn kind_of(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::InvalidArgument(_) => "an argument is invalid",
        sqlx::Error::TypeNotFound { .. } => "a type does not exist",
        sqlx::Error::ColumnIndexOutOfBounds { .. } | sqlx::Error::ColumnNotFound(_) => {
            "a column does not exist"
        }
        sqlx::Error::Encode(_) => "a value could not be encoded",
        sqlx::Error::Decode(_) => "a value could not be decoded",
        _ => "it failed",
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        const WHAT: &str = "migration";
        match error {
            MigrateError::Execute(error) => Self::from(error).during(WHAT),
            MigrateError::ExecuteMigration(error, _) => Self::from(error).during(WHAT),
            other => Self::new(ErrorKind::Schema, WHAT, other.to_string()),
        }
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> Error {
    let code = error.code().unwrap_or_default();
    let sqlite = error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some();
    let (kind, cure) = if sqlite {
        sqlite_kind(&code)
    } else {
        postgres_kind(&code)
    };
    // Class 22 (data exceptions) quotes the offending value.
    let said = if !sqlite && code.starts_with("22") {
        "a value does not fit its type"
    } else {
        error.message()
    };
    Error::new(kind, "database", format!("{said} (code {code}){cure}"))
}

fn sqlite_kind(code: &str) -> (ErrorKind, &'static str) {
    // The low byte is the primary code: https://www.sqlite.org/rescode.html
    match code.parse::<i64>().unwrap_or(0) & 0xff {
        5 | 6 => (ErrorKind::Busy, "; another process is writing to it"),
        7 => (ErrorKind::Busy, "; out of memory"),
        13 => (ErrorKind::Full, "; make room on the disk"),
        10 => (
            ErrorKind::Unavailable,
            "; reading or writing the file failed",
        ),
        14 => (
            ErrorKind::Unavailable,
            "; see that its folder is there, and that the file may be read and written",
        ),
        11 | 26 => (
            ErrorKind::Corrupt,
            "; see that this is the right file, or restore it from a backup",
        ),
        8 | 23 => (
            ErrorKind::Config,
            "; see that the file and its folder may be written to",
        ),
        19 => (ErrorKind::Constraint, ""),
        _ => (ErrorKind::Other, ""),
    }
}

fn postgres_kind(code: &str) -> (ErrorKind, &'static str) {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match code {
        "53100" => (ErrorKind::Full, "; make room on the server's disk"),
        "40001" | "40P01" | "40003" | "25P02" => (ErrorKind::Conflict, ""),
        "55P03" | "57014" => (ErrorKind::Busy, ""),
        "57P01" | "57P02" | "57P03" | "25P03" | "57P05" => (ErrorKind::Unavailable, ""),
        "25006" => (
            ErrorKind::Unavailable,
            "; the server takes no writes (a standby?)",
        ),
        "42501" => (ErrorKind::Config, "; the user lacks a right"),
        "3D000" => (ErrorKind::Config, "; create the database first"),
        _ => match code.get(..2) {
            Some("53") => (ErrorKind::Busy, "; the server is out of resources"),
            Some("08") => (ErrorKind::Unavailable, ""),
            Some("58") => (ErrorKind::Unavailable, ""),
            Some("28") => (ErrorKind::Config, "; check user and password"),
            Some("23") => (ErrorKind::Constraint, ""),
            Some("40") => (ErrorKind::Conflict, ""),
            Some("XX") => (ErrorKind::Corrupt, ""),
            _ => (ErrorKind::Other, ""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_answers_with_try_again_is_told_from_the_rest() {
        let sqlite = |code: &str| sqlite_kind(code).0;
        assert_eq!(sqlite("5"), ErrorKind::Busy);
        assert_eq!(
            sqlite("517"),
            ErrorKind::Busy,
            "an extended code: busy snapshot"
        );
        assert_eq!(sqlite("13"), ErrorKind::Full);
        assert_eq!(sqlite("1555"), ErrorKind::Constraint, "a primary key");
        assert_eq!(sqlite("11"), ErrorKind::Corrupt);
        assert_eq!(sqlite("nonsense"), ErrorKind::Other);
        let postgres = |code: &str| postgres_kind(code).0;
        assert_eq!(postgres("53100"), ErrorKind::Full);
        assert_eq!(postgres("53300"), ErrorKind::Busy);
        assert_eq!(postgres("55P03"), ErrorKind::Busy);
        assert_eq!(postgres("57P01"), ErrorKind::Unavailable);
        assert_eq!(postgres("08006"), ErrorKind::Unavailable);
        assert_eq!(postgres("40P01"), ErrorKind::Conflict);
        assert_eq!(postgres("28P01"), ErrorKind::Config);
        assert_eq!(postgres("23505"), ErrorKind::Constraint);
        assert_eq!(postgres(""), ErrorKind::Other);
        for kind in [ErrorKind::Busy, ErrorKind::Full, ErrorKind::Unavailable] {
            let error = Error::new(kind, "x", "y");
            assert!(error.is_unavailable() && error.recovery() == Recovery::Retry);
        }
        assert!(!Error::new(ErrorKind::Conflict, "x", "y").is_unavailable());
        assert_eq!(
            Error::of_commit(sqlx::Error::PoolClosed).recovery(),
            Recovery::Unknown
        );
        assert_eq!(
            Error::of_commit(sqlx::Error::PoolTimedOut).recovery(),
            Recovery::Retry
        );
    }
}
