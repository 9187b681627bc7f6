//! Errors, and whether to retry after them.

use std::borrow::Cow;
use std::fmt;

use sqlx::migrate::MigrateError;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the database or the queue.
///
/// The message contains the operation, the reason and the database's error code, and never a payload, a key or a password.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct Error {
    kind: ErrorKind,
    recovery: Recovery,
    operation: Cow<'static, str>,
    detail: String,
    #[source]
    source: Option<Source>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database is locked, or all connections are in use.
    Busy,
    /// The disk or a quota is full.
    Full,
    /// The database cannot be reached.
    Unavailable,
    /// A conflict with another transaction (deadlock, serialisation failure) rolled this one back.
    Conflict,
    /// A lease was lost: another worker claimed the job, or it is finished.
    Lost,
    /// The file is not a database, or is damaged.
    Corrupt,
    /// The database's schema is newer than this program, or was altered by hand.
    Schema,
    /// The URL, the password or a permission is wrong.
    Config,
    /// A value cannot be stored: a key is too long or contains a zero byte.
    Invalid,
    /// A constraint of one of the host's tables rejected a row.
    Constraint,
    /// Anything else, such as an error in SQL.
    Other,
}

/// Whether to retry after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// Retrying has the same result until somebody intervenes.
    Never,
    /// Nothing was changed; a retry may succeed.
    Retry,
    /// The connection was lost during a commit, which may have succeeded. Retry: the idempotency key (enqueue) or the
    /// fence (complete) tells whether it had.
    Unknown,
}

/// The text of the underlying error.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Source(String);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error {
    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether to retry.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Whether the database is temporarily unable to store anything (busy, full or unreachable), which an HTTP host
    /// reports as 503.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unavailable
        )
    }

    /// Sets the operation that failed.
    #[must_use]
    pub fn during(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.operation = operation.into();
        self
    }

    pub(crate) fn new(
        kind: ErrorKind,
        operation: impl Into<Cow<'static, str>>,
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
            operation: operation.into(),
            detail: detail.into(),
            source: None,
        }
    }

    /// Creates an [`ErrorKind::Schema`] error; `detail` names the problem and the remedy.
    pub fn schema(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Schema, "its tables", detail)
    }

    /// Creates an [`ErrorKind::Invalid`] error; `detail` must not contain personal data.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "cannot be stored", detail)
    }

    /// An error of a commit: after a lost connection its outcome is unknown.
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
                // The server closed the connection in the middle of a response.
                Self::new(ErrorKind::Unavailable, WHAT, "the response was cut off")
                    .with_source(text)
            }
            sqlx::Error::Tls(error) => {
                Self::new(ErrorKind::Config, WHAT, "TLS failed").with_source(error.to_string())
            }
            sqlx::Error::Configuration(_) => {
                // The text may contain the URL, and with it the password.
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
                format!("column {index} has an unexpected value"),
            ),
            other => Self::new(ErrorKind::Other, WHAT, kind_of(&other)),
        }
    }
}

/// A description of an error whose own text may contain values.
fn kind_of(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::InvalidArgument(_) => "an argument is invalid",
        sqlx::Error::TypeNotFound { .. } => "a type does not exist",
        sqlx::Error::ColumnIndexOutOfBounds { .. } | sqlx::Error::ColumnNotFound(_) => {
            "a column does not exist"
        }
        sqlx::Error::Encode(_) => "a value could not be encoded",
        sqlx::Error::Decode(_) => "a value could not be decoded",
        _ => "unexpected error",
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
    #[cfg(feature = "sqlite")]
    let sqlite = error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some();
    #[cfg(not(feature = "sqlite"))]
    let sqlite = false;
    let (kind, help) = if sqlite {
        sqlite_kind(&code)
    } else {
        postgres_kind(&code)
    };
    // Class 22 (data exceptions) quotes the offending value.
    let message = if !sqlite && code.starts_with("22") {
        "a value does not fit its type"
    } else {
        error.message()
    };
    Error::new(kind, "database", format!("{message} (code {code}){help}"))
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
            "; check that its folder exists, and that the file can be read and written",
        ),
        11 | 26 => (
            ErrorKind::Corrupt,
            "; check that this is the right file, or restore it from a backup",
        ),
        8 | 23 => (
            ErrorKind::Config,
            "; check that the file and its folder are writable",
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
            "; the server is read-only (a standby?)",
        ),
        "42501" => (ErrorKind::Config, "; the user lacks a permission"),
        "3D000" => (ErrorKind::Config, "; create the database first"),
        _ => match code.get(..2) {
            Some("53") => (ErrorKind::Busy, "; the server is out of resources"),
            Some("08") => (ErrorKind::Unavailable, ""),
            Some("58") => (ErrorKind::Unavailable, ""),
            Some("28") => (ErrorKind::Config, "; check the user and the password"),
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
    fn temporary_errors_are_distinguished_from_permanent_ones() {
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
