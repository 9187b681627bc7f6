//! The server: creation, start, stop and removal.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Binaries, Error};

/// Waits for the end of its standard input, which comes when the process that started the server ends in whatever way;
/// then stops the server and removes its folder.
const GUARD: &str = r#"trap '' INT TERM HUP
cat >/dev/null
"$1" -D "$2/data" -m immediate -w stop
rm -rf "$2""#;

/// Options of a server.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    durable: bool,
    settings: Vec<(String, String)>,
}

/// How to stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Closes connections and shuts down cleanly.
    Fast,
    /// Stops without a clean shutdown, and recovers at the next start.
    Immediate,
}

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Server {
    binaries: Binaries,
    folder: PathBuf,
    user: Option<User>,
    options: String,
    databases: AtomicU32,
    guard: Mutex<Child>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Builder {
    /// With `fsync` on, for measuring.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// With one of `postgresql.conf`'s settings, made of letters, digits and the like.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Creates and starts a server.
    ///
    /// # Errors
    /// Returns an error with the output if a program fails.
    pub fn start(&self, binaries: &Binaries) -> Result<Server, Error> {
        let user = user()?;
        let folder = folder(user)?;
        let guard = guard(binaries, &folder, user)?;
        // From here on the guard removes the folder, also when something fails.
        let server = Server {
            binaries: binaries.clone(),
            options: self.options(&folder),
            folder,
            user,
            databases: AtomicU32::new(0),
            guard: Mutex::new(guard),
        };
        server.init()?;
        server.start()?;
        Ok(server)
    }

    fn options(&self, folder: &Path) -> String {
        let fsync = if self.durable { "on" } else { "off" };
        let mut options = format!(
            "-k '{}' -c listen_addresses= -c fsync={fsync} -c full_page_writes={fsync}",
            folder.display()
        );
        for (name, value) in &self.settings {
            options.push_str(&format!(" -c {name}={value}"));
        }
        options
    }
}

impl Server {
    /// Options of a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// Returns an error if the server does not respond.
    pub fn create_database(&self) -> Result<String, Error> {
        let n = self.databases.fetch_add(1, Ordering::SeqCst);
        let name = format!("test_{n}");
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&user=postgres",
            self.folder.display().to_string().replace('/', "%2F")
        )
    }

    /// The id of its main process, or `None` if it is stopped.
    pub fn process(&self) -> Option<u32> {
        let file = self.folder.join("data/postmaster.pid");
        std::fs::read_to_string(file)
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    }

    /// Runs SQL in the database `postgres` as superuser, and returns the output, unaligned and without headings.
    ///
    /// # Errors
    /// Returns an error if the server does not respond or rejects.
    pub fn sql(&self, sql: &str) -> Result<String, Error> {
        let mut psql = self.command("psql");
        psql.args(["-h"])
            .arg(&self.folder)
            .args(["-U", "postgres", "-d", "postgres", "-X", "-A", "-t"])
            .args(["-v", "ON_ERROR_STOP=1", "-c", sql]);
        run("psql", &mut psql)
    }

    /// Restarts it after [`Server::stop`], and waits until it accepts connections.
    ///
    /// # Errors
    /// Returns an error if it does not start.
    pub fn start(&self) -> Result<(), Error> {
        let mut ctl = self.ctl("start");
        ctl.arg("-l")
            .arg(self.folder.join("log"))
            .arg("-o")
            .arg(&self.options);
        run("pg_ctl start", &mut ctl)
            .map(drop)
            .map_err(|error| self.with_log(error))
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Errors
    /// Returns an error if it does not stop.
    pub fn stop(&self, how: Stop) -> Result<(), Error> {
        let how = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        run("pg_ctl stop", self.ctl("stop").args(["-m", how])).map(drop)
    }

    fn init(&self) -> Result<(), Error> {
        let mut initdb = self.command("initdb");
        initdb
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8"])
            .args(["--no-locale", "--no-sync"]);
        run("initdb", &mut initdb).map(drop)
    }

    fn ctl(&self, what: &str) -> Command {
        let mut ctl = self.command("pg_ctl");
        ctl.arg("-D")
            .arg(self.folder.join("data"))
            .args(["-w", "-t", "60", what]);
        ctl
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        become_user(&mut command, self.user);
        command.current_dir(&self.folder).env_remove("PGDATA");
        command
    }

    fn with_log(&self, error: Error) -> Error {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        match error {
            Error::Failed { program, said } => Error::Failed {
                program,
                said: format!("{said}\n{}", tail(&log)),
            },
            other => other,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let guard = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(guard.stdin.take());
        let _ = guard.wait();
    }
}

/// Whom to run as: root may not.
fn user() -> Result<Option<User>, Error> {
    // A new file belongs to whoever this process runs as.
    let probe = tempfile::NamedTempFile::new()?;
    let uid = std::os::unix::fs::MetadataExt::uid(&probe.as_file().metadata()?);
    if uid != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let of = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            (name == wanted).then_some(User {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            })
        })
    };
    match of("postgres").or_else(|| of("nobody")) {
        Some(user) => Ok(Some(user)),
        None => Err(Error::Folder(std::io::Error::other(
            "root may not run it, and there is neither a user postgres nor nobody",
        ))),
    }
}

fn folder(user: Option<User>) -> Result<PathBuf, Error> {
    // Not under $TMPDIR's depths: a socket's path has at most 107 bytes.
    let folder =
        tempfile::Builder::new()
            .prefix("pg-")
            .tempdir_in(if Path::new("/tmp").is_dir() {
                PathBuf::from("/tmp")
            } else {
                std::env::temp_dir()
            })?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
    if let Some(user) = user {
        chown(folder.path(), Some(user.uid), Some(user.gid))?;
    }
    // The guard removes it.
    Ok(folder.keep())
}

fn guard(binaries: &Binaries, folder: &Path, user: Option<User>) -> Result<Child, Error> {
    let mut sh = Command::new("sh");
    become_user(&mut sh, user);
    sh.args(["-c", GUARD, "throwaway-postgres"])
        .arg(binaries.program("pg_ctl"))
        .arg(folder)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| Error::Run {
            program: "sh".to_owned(),
            source,
        })
}

fn become_user(command: &mut Command, user: Option<User>) {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
}

fn run(program: &str, command: &mut Command) -> Result<String, Error> {
    // Into a file, not a pipe: the server inherits it, and a pipe would stay open as long as it runs.
    let mut said = tempfile::tempfile()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?)
        .status()
        .map_err(|source| Error::Run {
            program: program.to_owned(),
            source,
        })?;
    let mut text = Vec::new();
    std::io::Seek::rewind(&mut said)?;
    std::io::Read::read_to_end(&mut said, &mut text)?;
    if status.success() {
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    } else {
        Err(Error::Failed {
            program: program.to_owned(),
            said: tail(&text),
        })
    }
}

fn tail(text: &[u8]) -> String {
    let start = text.len().saturating_sub(2000);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default())
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Option<Server> {
        crate::start_or_skip(&Server::builder().setting("max_connections", "23")).unwrap()
    }

    #[test]
    fn a_server_survives_a_crash_and_leaves_nothing_behind() {
        let Some(server) = server() else { return };
        let url = server.create_database().unwrap();
        assert!(url.starts_with("postgres:///test_0?host=%2F"), "{url}");
        assert_eq!(server.sql("SHOW max_connections").unwrap(), "23");
        server.sql("CREATE TABLE kept (n int)").unwrap();
        let file = server
            .sql("SELECT pg_read_file('postmaster.pid', 0, 20)")
            .unwrap();
        let process = server.process().unwrap().to_string();
        assert_eq!(file.lines().next(), Some(process.as_str()));

        server.stop(Stop::Immediate).unwrap();
        assert_eq!(server.process(), None);
        assert!(server.sql("SELECT 1").is_err());
        server.start().unwrap();
        assert_eq!(server.sql("SELECT count(*) FROM kept").unwrap(), "0");
        assert!(server.sql("SELECT nonsense").is_err());

        let folder = server.folder.clone();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
    }
}
