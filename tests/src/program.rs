//! Runs the program as a user does: a command to its end, or a service that receives HTTP requests until it is stopped
//! or killed.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use markback_lab::harness::{self, CommandOutput, KEY};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::world::World;

/// How long a test waits before it fails. Long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(240);

/// Starts `markback serve` with this command, to which the arguments are added, and appends its log to `log`. Returns
/// its address, the last word of the first line of output: empty, if it ended before it listened.
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

/// Runs a command to its end.
pub async fn run(program: &str, args: &[&str], input: &str) -> CommandOutput {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_remove("MARKBACK_CONFIG")
        .env_remove("RUST_LOG");
    harness::run(command, input).await
}

/// A running service. Killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: String,
    http: Client,
    school: String,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
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
    /// Starts `markback serve` with the world's settings and waits until it listens. Its log is appended to `log` in
    /// the world's folder. The methods about events use the school with this MIS.
    pub async fn start(program: &str, world: &World, mis: &str) -> Self {
        let (settings, log) = (world.settings_path(), world.path("log"));
        let (child, address) = serve(Command::new(program), &settings, "trace", &log).await;
        assert!(address.starts_with("http://127.0.0.1:"), "{address}");
        Self {
            child,
            address,
            http: Client::builder().no_proxy().build().unwrap(),
            school: world.school_with(mis).id,
        }
    }

    /// Its address, such as `http://127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its host and port.
    pub fn listens_on(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// GETs a path with the key.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Some(KEY), None).await
    }

    /// Sends any request.
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

    /// The path of the school's events.
    pub fn events(&self) -> String {
        format!("/v1/schools/{}/events", self.school)
    }

    /// Posts a body to the school's events, with the key.
    pub async fn post(&self, body: impl Into<String>) -> Answer {
        self.ask(Method::POST, &self.events(), Some(KEY), Some(body.into()))
            .await
    }

    /// The current record of an event.
    pub async fn event(&self, id: &str) -> Value {
        self.get(&format!("{}/{id}", self.events())).await.json()
    }

    /// Waits until an event satisfies a condition.
    pub async fn wait_for(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let event = self.event(id).await;
            if wanted(&event) {
                return event;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the event does not reach the expected state: {event:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an event is in this state.
    pub async fn wait_until(&self, id: &str, state: &str) -> Value {
        self.wait_for(id, |event| event["state"] == state).await
    }

    /// Kills the process with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM. Returns the exit code and the time until the end.
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
            assert!(start.elapsed() < PATIENCE, "the service does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
