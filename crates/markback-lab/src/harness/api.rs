//! A service for one school with its HTTP API.

use std::{net::SocketAddr, ops::Deref, time::Duration};

use chrono::{DateTime, Utc};
use markback::{
    metrics::Metrics,
    pipeline::WorkerConfig,
    service::{EventRecord, EventState, Markback, Options},
};
use mis_core::SchoolId;
use serde_json::{Value, json};
use wonde_sandbox::{SandboxOptions, SchoolInfo, StudentInfo};

use super::{Answered, Env, KEY, SECRET, Workers, described, monday, quick_sandbox, worker_config};

const SCHOOL: &str = r#"timezone = "Europe/London"
token_file = "token"

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

/// The options of an [`ApiEnv`].
#[derive(Debug)]
pub struct Setup {
    /// The address of the database; `None` takes an SQLite file.
    pub store: Option<String>,
    /// Further top-level keys of the settings.
    pub extra: &'static str,
    /// Further keys of the group's writeback settings.
    pub writeback: &'static str,
    /// The configuration of the workers.
    pub workers: WorkerConfig,
    /// The time at the start.
    pub start: DateTime<Utc>,
    /// The metrics recorder.
    pub metrics: Option<Metrics>,
    /// The sandbox. The settings have its first school.
    pub sandbox: SandboxOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: None,
            extra: "webhook_secret_file = 'webhook-secret'\n",
            writeback: "",
            workers: worker_config(),
            start: monday("09:30"),
            metrics: None,
            sandbox: SandboxOptions {
                schools: 1,
                pupils_per_school: 30,
                ..quick_sandbox()
            },
        }
    }
}

/// A service for one school, its API, and the [`Env`] that it dereferences to.
#[derive(Debug)]
pub struct ApiEnv {
    env: Env,
    /// The service.
    pub markback: Markback,
    /// The school.
    pub school: SchoolInfo,
    /// The school's pupils on roll.
    pub pupils: Vec<StudentInfo>,
    /// The base URL of the API.
    pub address: String,
    /// The HTTP client of the tests.
    pub http: reqwest::Client,
    options: Options,
    workers: Option<Workers>,
}

impl Deref for ApiEnv {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.env
    }
}

impl ApiEnv {
    /// Starts one with the default [`Setup`].
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// Starts a school with SIMS, whose MIS is fast and whose copy is fresh. The workers are not started yet.
    pub async fn with(setup: Setup) -> Self {
        let env = Env::start(setup.start, setup.store, setup.sandbox).await;
        let service = format!(
            "register_window = '1s'\ngather = {{ window = '0s', max = 200 }}\n{}",
            setup.extra
        );
        let school = format!("{SCHOOL}{}", setup.writeback);
        env.write_settings(&service, "", 1, &school);
        let options = Options {
            workers: Some(setup.workers),
            metrics: setup.metrics,
            ..env.options()
        };
        let markback = env.open(options.clone()).await;
        let router = markback_http::router(markback.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let school = env.sandbox.schools().remove(0);
        let pupils = env.pupils_of(&school.id);
        Self {
            env,
            markback,
            school,
            pupils,
            address,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            options,
            workers: None,
        }
    }

    /// Starts the workers.
    pub fn run(&mut self) {
        self.workers = Some(Workers::start(&self.markback));
    }

    /// Waits until the school's people are known.
    pub async fn known(&self) {
        self.wait_until(
            "the school's people are known",
            Duration::ZERO,
            async || self.get("/readyz").await.1["people"]["read"] == 1,
        )
        .await;
    }

    /// Waits until the school's register has been read in full for the first time, while the clock stands still.
    pub async fn register_read(&self) {
        let (store, school) = (self.markback.store(), self.id());
        self.wait_until("the register has been read", Duration::ZERO, async || {
            let reading = store.register_reading(&school).await.unwrap();
            reading.is_some_and(|reading| reading.read_at.is_some())
        })
        .await;
    }

    /// Stops the workers.
    pub async fn rest(&mut self) {
        self.workers.take().unwrap().stop().await;
    }

    /// Stops the workers and opens the service again, on the same database and with the same settings. The API stays
    /// that of the service before.
    pub async fn restart(&mut self) {
        self.rest().await;
        self.markback = self.open(self.options.clone()).await;
        self.run();
    }

    /// The id of the school.
    pub fn id(&self) -> SchoolId {
        self.env.school(0)
    }

    /// A pupil's sign-in on that Monday.
    pub fn sign_in(&self, id: &str, pupil: usize, time: &str) -> Value {
        json!({"id": id, "person": self.pupils[pupil].id, "kind": "sign_in", "at": monday(time)})
    }

    /// Submits events to the service.
    pub async fn take(&self, events: Vec<Value>) {
        self.markback.intake(&self.id(), events).await.unwrap();
    }

    /// The service's record of an event.
    pub async fn event(&self, id: &str) -> EventRecord {
        self.markback.event(&self.id(), id).await.unwrap().unwrap()
    }

    /// Waits until the event is in this state, and moves the clock by a second after each check.
    pub async fn until(&self, id: &str, state: EventState) -> EventRecord {
        self.reaches(id, state, Duration::from_secs(1)).await
    }

    /// Waits until the event is in this state while the clock stands still.
    pub async fn until_still(&self, id: &str, state: EventState) -> EventRecord {
        self.reaches(id, state, Duration::ZERO).await
    }

    async fn reaches(&self, id: &str, state: EventState, step: Duration) -> EventRecord {
        let mut event = self.event(id).await;
        let what = format!("{id} is {}", state.as_str());
        self.wait_until(&what, step, async || {
            event = self.event(id).await;
            event.state == state
        })
        .await;
        event
    }

    /// GETs a path of the API with the key.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.address);
        answer(self.http.get(url).bearer_auth(KEY)).await
    }

    /// POSTs to a path of the API with the key.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.address);
        answer(self.http.post(url).bearer_auth(KEY).json(body)).await
    }

    /// Sends a webhook like Wonde, without the key.
    pub async fn hook(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/webhooks/wonde/{SECRET}", self.address);
        answer(self.http.post(url).json(body)).await
    }

    /// GETs a path of the API without the key, as text.
    pub async fn text(&self, path: &str) -> (u16, String) {
        send(self.http.get(format!("{}{path}", self.address))).await
    }

    /// The keys of all pauses.
    pub async fn paused(&self) -> Vec<String> {
        let pauses = self.markback.outbox().pauses().await.unwrap();
        pauses.into_iter().map(|pause| pause.key).collect()
    }
}

/// Sends a request to the API and returns the status and the body, as a string if it is not JSON. Fails if the API's
/// document does not have this answer.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let (status, text) = send(request).await;
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

async fn send(request: reqwest::RequestBuilder) -> (u16, String) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let answer = client.execute(request).await.unwrap();
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").cloned();
    let body = answer.text().await.unwrap();
    let answered = Answered {
        method: method.as_str(),
        path: &path,
        status,
        content_type: content_type.as_ref().map(|text| text.to_str().unwrap()),
        body: &body,
    };
    if let Err(difference) = described(answered) {
        panic!("{difference}");
    }
    (status, body)
}
