//! Allows one service per SQLite file, by a lock that ends with the process.
//!
//! Two services on one file would not write wrong marks, but would wait for each other's writes. Usually the second is
//! started by mistake.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// The lock, held until dropped. Commands that work beside the service do not take it.
#[derive(Debug)]
pub struct ServiceLock {
    file: File,
}

/// Why the lock cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another service holds it.
    #[error(
        "another service works on {database}: {other}; end that one, or give this one a database of its own (only a \
         PostgreSQL database can be shared)"
    )]
    ReceivedEvent {
        /// The database's file.
        database: String,
        /// The other service, if it has recorded itself.
        other: String,
    },
    /// The lock file cannot be created.
    #[error("the lock {path} cannot be created: {why}; check that its folder is writable")]
    Io {
        /// The file.
        path: String,
        /// Why.
        why: io::Error,
    },
}

impl ServiceLock {
    /// Takes the lock beside this database file.
    ///
    /// # Errors
    /// Returns an error if another service holds the lock or its file cannot be created.
    pub fn take(database: &Path) -> Result<Self, LockError> {
        let path = lock_path(database);
        let failed = |why| LockError::Io {
            path: path.display().to_string(),
            why,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut other = String::new();
                // Some systems do not allow reading a locked file.
                let _ = file.read_to_string(&mut other);
                return Err(LockError::ReceivedEvent {
                    database: database.display().to_string(),
                    other: match other.trim() {
                        "" => "it has not said which it is".to_owned(),
                        other => other.to_owned(),
                    },
                });
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(%error, "this file system has no locks: a second service on the database would go unseen");
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file };
        lock.say(&format!("process {}", std::process::id()));
        Ok(lock)
    }

    /// Records who holds the lock, for the next service that asks.
    pub fn say(&mut self, who: &str) {
        let said = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| writeln!(self.file, "{who}"));
        if let Err(error) = said {
            tracing::warn!(%error, "the lock of the database cannot be written to");
        }
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first_and_may_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("markback.db");
        let mut first = ServiceLock::take(&database).unwrap();
        first.say("process 7 at http://127.0.0.1:8350");
        let told = ServiceLock::take(&database).unwrap_err().to_string();
        assert!(
            told.contains("process 7 at http://127.0.0.1:8350"),
            "{told}"
        );
        drop(first);
        ServiceLock::take(&database).unwrap();
    }
}
