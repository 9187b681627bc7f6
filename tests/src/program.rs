//! The program as a user runs it: a command to its end, or a service that is asked over HTTP and stopped or killed.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::Value;

use crate::world::{KEY, World};

/// How long a test waits for what must come. Long, for the machine may be busy; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

/// Starts `markback serve` by this command, which is given its arguments. Its log, as loud as `level`, goes to the end of
/// `log`. Answers its address, or what else it said first: nothing, if it ended before it listened.
pub(crate) async fn serve(
    mut command: Command,
    settings: &Path,
    level: &str,
    log: &Path,
) -> (Child, String) {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut child = command
        .args(["serve", "--config"])
        .arg(settings)
        .env("RUST_LOG", level)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        line
    });
    let line = line.await.unwrap();
    let address = line.trim().rsplit(' ').next().unwrap_or_default();
    (child, address.to_owned())
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end.
pub async fn run(program: &str, args: &[&str], input: &str) -> Said {
    let mut child = Command::new(program)
        .args(args)
        .env_remove("MARKBACK_CONFIG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        // A program that has seen enough may have gone before it reads all of it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running service. Killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: String,
    http: Client,
    school: String,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, as they came.
    pub headers: reqwest::header::HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Service {
    /// Starts `markback serve` with the world's settings and waits until it listens. Its log goes to `log` in the world's folder,
    /// after what is there already. Events are those of the school with this MIS.
    pub async fn start(program: &str, world: &World, mis: &str) -> Self {
        let (settings, log) = (world.settings(), world.path("log"));
        let (child, address) = serve(Command::new(program), &settings, "trace", &log).await;
        assert!(address.starts_with("http://127.0.0.1:"), "{address}");
        Self {
            child,
            address,
            http: Client::builder().no_proxy().build().unwrap(),
            school: world.school(mis).id,
        }
    }

    /// Where it listens: host and port.
    pub fn listens_on(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// Asks for an address of the service, with the key.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Some(KEY), None).await
    }

    /// Asks for anything.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<String>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// The events of the school.
    pub fn events(&self) -> String {
        format!("/v1/schools/{}/events", self.school)
    }

    /// Posts a body to the school's events, with the key.
    pub async fn post(&self, body: impl Into<String>) -> Answer {
        self.ask(Method::POST, &self.events(), Some(KEY), Some(body.into()))
            .await
    }

    /// What became of an event so far.
    pub async fn event(&self, id: &str) -> Value {
        self.get(&format!("{}/{id}", self.events())).await.json()
    }

    /// Waits until an event has become what is wanted of it.
    pub async fn wait_for(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let event = self.event(id).await;
            if wanted(&event) {
                return event;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain: {event:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an event is in this state.
    pub async fn wait_until(&self, id: &str, state: &str) -> Value {
        self.wait_for(id, |event| event["state"] == state).await
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM. Answers the exit code and how long it took.
    pub async fn stop(mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < PATIENCE, "it does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Gone already, if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
