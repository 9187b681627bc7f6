//! A sandbox and a service side by side, on one clock that moves only while a test waits.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use markback::{
    pipeline::WorkerConfig,
    service::{EventRecord, EventState, Markback, Options},
    settings,
};
use mis_adapters as _;
use mis_core::SchoolId;
use outbox::Clock;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Fault, FaultRule, MisMark, Sandbox, SandboxOptions, TeacherMark};

/// Schools of the sandbox by their place.
pub(crate) const SIMS: usize = 0;
pub(crate) const ARBOR: usize = 1;
pub(crate) const SCHOLARPACK: usize = 2;

/// How far the clock moves between two looks of a test that waits.
const STEP: Duration = Duration::from_millis(200);
/// How long a test waits for something, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that begins on a Monday morning and stands still unless it is advanced, so that a busy machine changes nothing.
#[derive(Debug, Default)]
pub(crate) struct MorningClock {
    forward_ms: AtomicI64,
}

impl Clock for MorningClock {
    fn now(&self) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().unwrap();
        start + TimeDelta::milliseconds(self.forward_ms.load(Ordering::SeqCst))
    }
}

impl MorningClock {
    pub(crate) fn now_date(&self) -> chrono::NaiveDate {
        self.now().date_naive()
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        self.forward_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Everything a test needs.
pub(crate) struct Stage {
    pub(crate) clock: Arc<MorningClock>,
    pub(crate) sandbox: Sandbox,
    pub(crate) markback: Markback,
    pub(crate) folder: TempDir,
    workers: Option<(CancellationToken, JoinHandle<()>)>,
    options: Options,
}

/// How a test's schools differ from the usual.
pub(crate) struct Setup {
    /// Further keys of the service.
    pub(crate) service: &'static str,
    /// Further keys of the writeback settings.
    pub(crate) writeback: &'static str,
    /// The times of the sessions in the writeback settings.
    pub(crate) times: &'static str,
    /// How the sandbox is.
    pub(crate) sandbox: SandboxOptions,
    /// Adapters in place of those that are linked.
    pub(crate) adapters: Option<mis_core::Registry>,
    /// How long a job is held.
    pub(crate) lease: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            service: "",
            times: r#"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
"#,
            writeback: r#"protected = ["/", "\\", "M"]"#,
            sandbox: SandboxOptions {
                pupils_per_school: 60,
                // The register that is read is never old, unless a test makes it so.
                extraction_every: Duration::ZERO,
                ..SandboxOptions::default()
            },
            adapters: None,
            // Nobody else is there to take anything over, unless a test plays it.
            lease: Duration::from_secs(3600),
        }
    }
}

impl Stage {
    /// With nothing out of the ordinary, and workers at work.
    pub(crate) async fn usual() -> Self {
        Self::set(Setup::default()).await
    }

    /// With workers at work.
    pub(crate) async fn set(setup: Setup) -> Self {
        let mut stage = Self::idle(setup).await;
        stage.work();
        stage.people_known().await;
        stage.registers_read().await;
        // What was read just now would be taken as it is for a while.
        stage.clock.advance(Duration::from_secs(360));
        stage.sandbox.reset_requests();
        stage
    }

    /// With nobody at work yet.
    pub(crate) async fn idle(setup: Setup) -> Self {
        let clock = Arc::new(MorningClock::default());
        let times = clock.clone();
        let sandbox = Sandbox::start(SandboxOptions {
            clock: Arc::new(move || times.now()),
            ..setup.sandbox
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("markback.toml");
        std::fs::write(folder.path().join("token"), sandbox.token()).unwrap();
        std::fs::write(folder.path().join("key"), "a key").unwrap();
        let writeback = format!("{}\n{}", setup.times, setup.writeback);
        let text = toml(&sandbox, &folder, setup.service, &writeback);
        std::fs::write(&path, text).unwrap();
        let options = Options {
            clock: clock.clone(),
            workers: Some(WorkerConfig {
                poll: Duration::from_millis(10),
                lease: setup.lease,
                ..WorkerConfig::default()
            }),
            adapters: setup.adapters,
            ..Options::default()
        };
        let markback = open(&path, &options).await;
        Self {
            clock,
            sandbox,
            markback,
            folder,
            workers: None,
            options,
        }
    }

    /// Puts the workers to work.
    pub(crate) fn work(&mut self) {
        let stop = CancellationToken::new();
        let (markback, told) = (self.markback.clone(), stop.clone());
        let workers = tokio::spawn(async move { markback.run(told).await });
        self.workers = Some((stop, workers));
    }

    /// Ends the workers in the middle of whatever they do, as a power cut would.
    pub(crate) async fn crash(&mut self) {
        if let Some((_, workers)) = self.workers.take() {
            workers.abort();
            let _ = workers.await;
        }
        // Batches in hand run in tasks of their own: those are gone with the runtime's handle of the service only when it
        // is dropped, so a new service stands in for the one that is gone.
        let path = self.folder.path().join("markback.toml");
        self.markback = open(&path, &self.options).await;
    }

    pub(crate) async fn people_known(&self) {
        for school in self.sandbox.schools() {
            let id = SchoolId::from(school.id.as_str());
            until(&self.clock, "the people are known", async || {
                self.markback.people().of(&id).await.unwrap().is_some()
            })
            .await;
        }
    }

    /// Until the registers of all schools that take marks have been read once.
    async fn registers_read(&self) {
        for place in [SIMS, ARBOR] {
            let id = SchoolId::from(self.school(place));
            until(
                &self.clock,
                "the registers have been read once",
                async || {
                    let reading = self.markback.store().register_reading(&id).await.unwrap();
                    reading.is_some_and(|reading| reading.read_at.is_some())
                },
            )
            .await;
        }
    }

    pub(crate) fn school(&self, place: usize) -> String {
        self.sandbox.schools()[place].id.clone()
    }

    /// A pupil of whom the register says nothing today.
    pub(crate) fn pupil(&self, school: usize, n: usize) -> String {
        let id = self.school(school);
        let today = self.clock.now().date_naive();
        let marks = self.sandbox.mis_marks(&id).unwrap();
        let students = self.sandbox.students(&id).unwrap();
        students
            .into_iter()
            .filter(|one| one.on_roll && one.leaving.is_none())
            .filter(|one| {
                !marks.iter().any(|mark| {
                    mark.student_id == one.id && mark.date == today && mark.writeback_id.is_none()
                })
            })
            .nth(n)
            .unwrap()
            .id
    }

    /// Takes one event in.
    pub(crate) async fn take(&self, school: usize, event: Value) {
        self.take_all(school, vec![event]).await;
    }

    pub(crate) async fn take_all(&self, school: usize, events: Vec<Value>) {
        let id = SchoolId::from(self.school(school));
        self.markback.intake(&id, events).await.unwrap();
    }

    /// What is known of an event.
    pub(crate) async fn event(&self, school: usize, id: &str) -> EventRecord {
        let school = SchoolId::from(self.school(school));
        self.markback.event(&school, id).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, school: usize, id: &str) -> EventState {
        self.event(school, id).await.state
    }

    /// Waits until every event has come to its end.
    pub(crate) async fn settled(&self) {
        until(&self.clock, "every event has a final state", async || {
            self.markback.is_settled().await.unwrap()
        })
        .await;
    }

    pub(crate) async fn settled_as(&self, school: usize, id: &str) -> EventState {
        self.settled().await;
        self.state(school, id).await
    }

    /// Until something is said to be in the event's way.
    pub(crate) async fn waits(&self, school: usize, id: &str) {
        until(&self.clock, "an event waits", async || {
            self.event(school, id).await.waiting.is_some()
        })
        .await;
    }

    pub(crate) async fn reaches(&self, school: usize, id: &str, state: EventState) {
        let what = format!("{id} is {}", state.as_str());
        until(&self.clock, &what, async || {
            self.state(school, id).await == state
        })
        .await;
    }

    /// What the MIS holds today of a pupil in a session.
    pub(crate) fn held(&self, school: usize, student: &str, session: &str) -> Option<MisMark> {
        let today = self.clock.now().date_naive();
        let mut marks = self.sandbox.mis_marks(&self.school(school)).unwrap();
        marks.retain(|mark| {
            mark.student_id == student && mark.date == today && mark.session == Some(session)
        });
        marks.pop()
    }

    pub(crate) fn code(&self, school: usize, student: &str, session: &str) -> Option<String> {
        self.held(school, student, session).map(|mark| mark.code)
    }

    pub(crate) fn teacher(&self, school: usize, student: &str, session: &str, code: Option<&str>) {
        let mark = TeacherMark {
            student_id: student.to_owned(),
            date: Some(self.clock.now().date_naive()),
            session: Some(session.to_owned()),
            code: code.map(str::to_owned),
            ..TeacherMark::default()
        };
        self.sandbox.set_mark(&self.school(school), &mark).unwrap();
    }

    /// Requests of a kind so far.
    pub(crate) fn requests(&self, kind: &str) -> u64 {
        let counts = self.sandbox.requests();
        counts.by_kind.get(kind).copied().unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((stop, workers)) = self.workers.take() {
            stop.cancel();
            workers.abort();
        }
    }
}

/// Looks again and again while the clock moves, until patience ends.
pub(crate) async fn until(clock: &MorningClock, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        clock.advance(STEP);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A sign-in at this local time of the Monday.
/// This happens to every register of session marks that is written.
pub(crate) fn post(fault: Fault) -> FaultRule {
    FaultRule::new(fault)
        .on("attendance/session")
        .method("POST")
}

pub(crate) fn sign_in(id: &str, person: &str, at: &str) -> Value {
    json!({"id": id, "person": person, "kind": "sign_in", "at": format!("2026-11-23T{at}Z")})
}

/// A sign-in with an answer.
pub(crate) fn answered(id: &str, person: &str, at: &str, answer: &str) -> Value {
    let mut event = sign_in(id, person, at);
    event["answers"] = json!({"Reason": answer});
    event
}

/// A sign-out with an answer.
pub(crate) fn sign_out(id: &str, person: &str, at: &str, answer: &str) -> Value {
    json!({
        "id": id, "person": person, "kind": "sign_out", "at": format!("2026-11-23T{at}Z"),
        "answers": {"Leaving": answer},
    })
}

async fn open(path: &std::path::Path, options: &Options) -> Markback {
    let loaded = settings::load(path).unwrap();
    Markback::open(loaded.settings, options.clone())
        .await
        .unwrap()
}

fn toml(sandbox: &Sandbox, folder: &TempDir, service: &str, writeback: &str) -> String {
    // Nobody should wait in a test for company that does not come.
    let gather = if service.contains("gather") {
        ""
    } else {
        "gather = { window = \"500ms\", max = 200 }\n"
    };
    let mut toml = format!(
        "{gather}api_key_file = \"key\"\nstore = \"sqlite:{}\"\nwonde_url = \"{}\"\nrate_per_minute = 1000000\n{service}\n{}",
        folder.path().join("markback.db").display(),
        sandbox.base_url(),
        rules(writeback),
    );
    for school in sandbox.schools() {
        let _ = write!(
            toml,
            "\n[[school]]\nid = \"{}\"\ntemplate = \"all\"\n",
            school.id
        );
    }
    toml
}

/// The usual settings, and what a test adds to them or says otherwise.
fn rules(writeback: &str) -> String {
    let usual = if writeback.contains("present =") {
        RULES.replace("present = true\n", "")
    } else {
        RULES.to_owned()
    };
    usual.replace("WRITEBACK", writeback)
}

const RULES: &str = r#"
[[template]]
name = "all"
timezone = "Europe/London"
token_file = "token"

[[template.group]]
name = "Pupils"
kind = "students"

[[template.group.field]]
name = "Reason"
on = "sign_in"
options = ["Bus", "M - Medical appointment", "I - Ill"]

[[template.group.field]]
name = "Leaving"
on = "sign_out"
options = ["M - Dentist", "Going home"]

[template.group.writeback]
present = true
closes = "15:30"
custom_codes = { sign_in = "Reason", sign_out = "Leaving" }
comment = { sign_in = "Reason" }
WRITEBACK
"#;
