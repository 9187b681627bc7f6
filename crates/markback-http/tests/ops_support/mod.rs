//! A sandbox with a service on it in this process, both by one clock that only tests move.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of it, and may stop at the first surprise"
)]

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use markback::{
    metrics::Metrics,
    pipeline::WorkerConfig,
    service::{EventRecord, EventState, Markback, Options},
    settings,
};
use mis_core::SchoolId;
use outbox::TestClock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Sandbox, SandboxOptions, SchoolInfo, StudentInfo};

/// The bearer key of the API.
pub const KEY: &str = "the-key-of-the-tests";
/// The secret in the webhooks' address.
pub const SECRET: &str = "a-secret-of-the-webhooks";

const GROUPS: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"

[[school.group.field]]
name = "Why?"
on = "sign_in"
options = ["Bus", "M - Medical appointment"]

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
custom_codes = { sign_in = "Why?" }
comment = { sign_in = "Why?" }
"#;

/// How a world is set up.
pub struct Setup {
    pub store: Option<String>,
    pub extra: &'static str,
    pub workers: WorkerConfig,
    pub start: DateTime<Utc>,
    pub metrics: Option<Metrics>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: None,
            extra: "webhook_secret_file = 'webhook-secret'\n",
            workers: WorkerConfig {
                poll: Duration::from_millis(10),
                ..WorkerConfig::default()
            },
            start: monday("09:30"),
            metrics: None,
        }
    }
}

/// A time of day on a Monday in winter, when London's clocks tell UTC.
pub fn monday(time: &str) -> DateTime<Utc> {
    format!("2026-11-23T{time}:00Z").parse().unwrap()
}

pub struct World {
    pub clock: Arc<TestClock>,
    pub sandbox: Sandbox,
    pub markback: Markback,
    pub school: SchoolInfo,
    pub pupils: Vec<StudentInfo>,
    pub folder: TempDir,
    pub address: String,
    pub http: reqwest::Client,
    stop: CancellationToken,
    workers: Option<JoinHandle<()>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// A school with SIMS whose MIS is quick and whose copy is fresh. Nothing works yet.
    pub async fn with(setup: Setup) -> Self {
        let clock = Arc::new(TestClock::at(setup.start));
        let time = clock.clone();
        let sandbox = Sandbox::start(SandboxOptions {
            schools: 1,
            pupils_per_school: 30,
            history_days: 0,
            write_delay: Duration::from_millis(200),
            extraction_every: Duration::ZERO,
            clock: Arc::new(move || outbox::Clock::now(&*time)),
            ..SandboxOptions::default()
        })
        .await
        .unwrap();
        let school = sandbox.schools().remove(0);
        let mut pupils = sandbox.students(&school.id).unwrap();
        pupils.retain(|pupil| pupil.on_roll && pupil.leaving.is_none());
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("token", sandbox.token()),
            ("key", KEY.to_owned()),
            ("webhook-secret", SECRET.to_owned()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let store = setup
            .store
            .unwrap_or_else(|| format!("sqlite:{}", folder.path().join("markback.db").display()));
        let toml = format!(
            "listen = '127.0.0.1:0'\napi_key_file = 'key'\nstore = '{store}'\nwonde_url = '{}'\n\
             rate_per_minute = 600000\nregister_window = '1s'\ngather = {{ window = '0s', max = 200 }}\n{}\n\
             [[school]]\nid = '{}'\ntimezone = 'Europe/London'\ntoken_file = 'token'\n{GROUPS}",
            sandbox.base_url(),
            setup.extra,
            school.id,
        );
        let path = folder.path().join("markback.toml");
        std::fs::write(&path, toml).unwrap();
        let options = Options {
            clock: clock.clone(),
            workers: Some(setup.workers),
            metrics: setup.metrics,
            ..Options::default()
        };
        let settings = settings::load(&path).unwrap().settings;
        let markback = Markback::open(settings, options).await.unwrap();
        let router = markback_http::router(markback.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            clock,
            sandbox,
            markback,
            school,
            pupils,
            folder,
            address,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop: CancellationToken::new(),
            workers: None,
        }
    }

    /// Lets the workers work.
    pub fn run(&mut self) {
        let (markback, stop) = (self.markback.clone(), self.stop.clone());
        self.workers = Some(tokio::spawn(async move { markback.run(stop).await }));
    }

    /// Waits until the school's people are known.
    pub async fn known(&self) {
        for _ in 0..1_000 {
            if self.get("/readyz").await.1["people"]["read"] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the school's people never became known");
    }

    /// Ends the workers.
    pub async fn rest(&mut self) {
        self.stop.cancel();
        self.workers.take().unwrap().await.unwrap();
    }

    /// Ends the workers and opens the service anew, on the same store and by the same settings. The API stays that of
    /// before.
    pub async fn restart(&mut self) {
        self.rest().await;
        let options = Options {
            clock: self.clock.clone(),
            workers: Some(Setup::default().workers),
            ..Options::default()
        };
        let settings = settings::load(&self.folder.path().join("markback.toml")).unwrap();
        self.markback = Markback::open(settings.settings, options).await.unwrap();
        self.stop = CancellationToken::new();
        self.run();
    }

    pub fn id(&self) -> SchoolId {
        SchoolId::from(self.school.id.as_str())
    }

    /// A pupil's sign-in on that Monday.
    pub fn sign_in(&self, id: &str, pupil: usize, time: &str) -> Value {
        json!({"id": id, "person": self.pupils[pupil].id, "kind": "sign_in", "at": monday(time)})
    }

    pub async fn take(&self, events: Vec<Value>) {
        self.markback.intake(&self.id(), events).await.unwrap();
    }

    pub async fn event(&self, id: &str) -> EventRecord {
        self.markback.event(&self.id(), id).await.unwrap().unwrap()
    }

    /// Lets time go by until the event has this state.
    pub async fn until(&self, id: &str, state: EventState) -> EventRecord {
        self.wait_for(id, state, Duration::from_secs(1)).await
    }

    /// Waits until the event has this state while no time goes by.
    pub async fn until_still(&self, id: &str, state: EventState) -> EventRecord {
        self.wait_for(id, state, Duration::ZERO).await
    }

    async fn wait_for(&self, id: &str, state: EventState, step: Duration) -> EventRecord {
        for _ in 0..2_000 {
            let event = self.event(id).await;
            if event.state == state {
                return event;
            }
            self.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let event = self.event(id).await;
        panic!(
            "{id} is {:?} and never became {state:?}: {:?} {:?}",
            event.state, event.waiting, event.outcome
        );
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.address);
        answer(self.http.get(url).bearer_auth(KEY)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.address);
        answer(self.http.post(url).bearer_auth(KEY).json(body)).await
    }

    /// Sends a webhook, as Wonde does: without the key.
    pub async fn hook(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/webhooks/wonde/{SECRET}", self.address);
        answer(self.http.post(url).json(body)).await
    }

    pub async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.address));
        let answer = answer.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn paused(&self) -> Vec<String> {
        let pauses = self.markback.outbox().pauses().await.unwrap();
        pauses.into_iter().map(|pause| pause.key).collect()
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// Both databases, the second only where there is one.
pub fn stores() -> Vec<Option<String>> {
    let mut stores = vec![None];
    if let Some(server) = throwaway_postgres::shared().unwrap() {
        stores.push(Some(server.create_database().unwrap()));
    }
    stores
}
