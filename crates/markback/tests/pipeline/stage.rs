//! Three schools and a service for them, whose workers usually run.

use std::{ops::Deref, time::Duration};

use chrono::NaiveDate;
use markback::{
    pipeline::WorkerConfig,
    replay_decision::replay_decision,
    service::{EventRecord, EventState, Markback, Options},
    store::EventFilter,
};
use markback_lab::harness::{Env, Workers, monday, worker_config};
use mis_adapters as _;
use mis_core::SchoolId;
use outbox::Clock as _;
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule, MisMark, SandboxOptions, TeacherMark};

/// Schools of the sandbox by their place.
pub(crate) const SIMS: usize = 0;
pub(crate) const ARBOR: usize = 1;
pub(crate) const SCHOLARPACK: usize = 2;

/// How far the clock moves between two looks of a test that waits.
const STEP: Duration = Duration::from_millis(200);
/// After so many looks the clock moves more slowly while a job is worked on. Then the machine is busy with other work, and
/// a clock that runs ahead ends leases before their holders can renew them.
const FAST_CHECKS: u32 = 400;
/// The additional real time of a slow step.
const SLOW_STEP: Duration = Duration::from_millis(95);
/// How far it moves in addition, at most, if no job is due.
const IDLE_STEP: Duration = Duration::from_secs(5);

/// Everything a test needs.
pub(crate) struct Stage {
    env: Env,
    pub(crate) markback: Markback,
    workers: Option<Workers>,
    options: Options,
}

impl Deref for Stage {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.env
    }
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
    /// The address of a PostgreSQL database in place of SQLite.
    pub(crate) database: Option<String>,
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
            database: None,
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
        let env = Env::start(monday("10:00"), setup.database, setup.sandbox).await;
        let writeback = format!("{}\n{}", setup.times, setup.writeback);
        // Few tests have enough events to fill a register, so the others do not wait long for more.
        let gather = if setup.service.contains("gather") {
            ""
        } else {
            "gather = { window = \"500ms\", max = 200 }\n"
        };
        let service = format!("{gather}{}", setup.service);
        let schools = env.sandbox.schools().len();
        env.write_settings(&service, &rules(&writeback), schools, "template = \"all\"");
        let options = Options {
            workers: Some(WorkerConfig {
                lease: setup.lease,
                ..worker_config()
            }),
            adapters: setup.adapters,
            ..env.options()
        };
        Self {
            markback: env.open(options.clone()).await,
            env,
            workers: None,
            options,
        }
    }

    /// Puts the workers to work.
    pub(crate) fn work(&mut self) {
        self.workers = Some(Workers::start(&self.markback));
    }

    /// Ends the workers in the middle of whatever they do, as a power cut would.
    pub(crate) async fn crash(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.abort().await;
        }
        // Batches in hand run in tasks of their own: those are gone with the runtime's handle of the service only when it
        // is dropped, so a new service stands in for the one that is gone.
        self.markback = self.open(self.options.clone()).await;
    }

    pub(crate) async fn people_known(&self) {
        for school in self.sandbox.schools() {
            let id = SchoolId::from(school.id.as_str());
            self.until("the people are known", async || {
                self.markback.people().of(&id).await.unwrap().is_some()
            })
            .await;
        }
    }

    /// Until the registers of all schools that take marks have been read once.
    async fn registers_read(&self) {
        for place in [SIMS, ARBOR] {
            let id = self.env.school(place);
            self.until("the registers have been read once", async || {
                let reading = self.markback.store().register_reading(&id).await.unwrap();
                reading.is_some_and(|reading| reading.read_at.is_some())
            })
            .await;
        }
    }

    pub(crate) fn today(&self) -> NaiveDate {
        self.clock.now().date_naive()
    }

    /// Waits until `condition` holds, and moves the clock meanwhile: fast as long as no job can be worked on.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let mut checks = 0_u32;
        self.wait_until(what, STEP, async || {
            let holds = condition().await;
            checks = checks.saturating_add(1);
            if !holds && let Some(wait) = self.idle_for().await {
                self.clock.advance(wait.min(IDLE_STEP));
            } else if !holds && checks > FAST_CHECKS && self.works().await {
                tokio::time::sleep(SLOW_STEP).await;
            }
            holds
        })
        .await;
    }

    /// Whether a job is being worked on.
    async fn works(&self) -> bool {
        let stats = self.markback.outbox().stats().await.unwrap();
        stats.values().any(|queue| queue.leased > 0)
    }

    /// The time until the next job is due; `None` if one is due or leased, or if there is none.
    async fn idle_for(&self) -> Option<Duration> {
        let outbox = self.markback.outbox();
        let stats = outbox.stats().await.unwrap();
        if stats
            .values()
            .any(|queue| queue.ready + queue.leased + queue.lapsed > 0)
        {
            return None;
        }
        let mut next = None;
        for queue in stats.keys() {
            let due = outbox.next_due(queue).await.unwrap();
            next = next.into_iter().chain(due).min();
        }
        next
    }

    pub(crate) fn school(&self, place: usize) -> String {
        self.sandbox.schools()[place].id.clone()
    }

    /// A pupil of whom the register says nothing today.
    pub(crate) fn pupil(&self, school: usize, n: usize) -> String {
        let id = self.school(school);
        let today = self.today();
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
        let id = self.env.school(school);
        self.markback.intake(&id, events).await.unwrap();
    }

    /// What is known of an event.
    pub(crate) async fn event(&self, school: usize, id: &str) -> EventRecord {
        let school = self.env.school(school);
        self.markback.event(&school, id).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, school: usize, id: &str) -> EventState {
        self.event(school, id).await.state
    }

    /// Waits until every event has come to its end. Every decision up to then is the same when it is replayed.
    pub(crate) async fn settled(&self) {
        self.until("every event has a final state", async || {
            self.markback.is_settled().await.unwrap()
        })
        .await;
        self.replays_are_equal().await;
    }

    async fn replays_are_equal(&self) {
        let registry = match &self.options.adapters {
            Some(adapters) => adapters.clone(),
            None => mis_core::Registry::discover().unwrap(),
        };
        let store = self.markback.store();
        let filter = EventFilter {
            limit: u32::MAX,
            ..EventFilter::default()
        };
        for event in store.search(&filter).await.unwrap() {
            if event.decision.is_none() {
                continue;
            }
            let school = SchoolId::from(event.school.as_str());
            let replay = replay_decision(store, &registry, &school, &event.id).await;
            let replay = replay.unwrap().unwrap();
            assert!(replay.same, "{replay:#?} of {:#?}", event.steps);
        }
    }

    pub(crate) async fn settled_as(&self, school: usize, id: &str) -> EventState {
        self.settled().await;
        self.state(school, id).await
    }

    /// Until something is said to be in the event's way.
    pub(crate) async fn waits(&self, school: usize, id: &str) {
        self.until("an event waits", async || {
            self.event(school, id).await.waiting.is_some()
        })
        .await;
    }

    pub(crate) async fn reaches(&self, school: usize, id: &str, state: EventState) {
        let what = format!("{id} is {}", state.as_str());
        self.until(&what, async || self.state(school, id).await == state)
            .await;
    }

    /// What the MIS holds today of a pupil in a session.
    pub(crate) fn held(&self, school: usize, student: &str, session: &str) -> Option<MisMark> {
        let today = self.today();
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
            date: Some(self.today()),
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

/// This happens to every register of session marks that is written.
pub(crate) fn post(fault: Fault) -> FaultRule {
    FaultRule::new(fault)
        .on("attendance/session")
        .method("POST")
}

/// A sign-in at this local time of the Monday.
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
