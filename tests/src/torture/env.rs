//! The environment: a sandbox that outlives every node, a database, and the settings that all nodes share. Also the same
//! morning without faults, for the expected marks in the MIS.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use markback::{
    service::{EventState, Markback, Options},
    settings,
    store::Store,
};
use serde_json::Value;
use tempfile::TempDir;
use throwaway_postgres::Server;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{FaultRule, Sandbox, SandboxOptions};

use super::report::Writer;
use super::{
    Morning, PATIENCE, Plan,
    dispute::{self, PUPILS},
    morning::SCHOOLS,
};
use crate::world::{PACE, at, school_day};

/// The bearer key of the nodes.
pub const KEY: &str = "the-key-of-the-torture";

/// Which store the nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A server of its own.
    Postgres,
}

/// What a mark says and how often it was written, by school, pupil, date and session.
pub(crate) type Marks = BTreeMap<MarkKey, (String, u32)>;

/// More often than anything is written.
const ANY: u32 = 1_000;

/// School, pupil, date and session.
pub(crate) type MarkKey = (String, String, String, String);

/// Sandbox, store and settings.
#[derive(Debug)]
pub struct Env {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The server that the nodes share, on PostgreSQL.
    pub postgres: Option<Server>,
    url: String,
    folder: PathBuf,
    cleared: Option<TempDir>,
    pupils: Vec<Vec<String>>,
    /// Pupils of whom there is a dispute, each with the school.
    disputed: Vec<(String, String)>,
}

impl Env {
    /// For this plan.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn new(plan: &Plan, morning: &Morning, postgres: Option<Server>) -> Arc<Self> {
        let env = Self::quiet(plan, morning, postgres).await;
        for rule in dispute::refusals(&env, plan.seed) {
            env.sandbox.add_fault(rule).unwrap();
        }
        if plan.faults > 0.0 {
            let sure = FaultRule::one_of_each(plan.seed);
            for rule in sure
                .into_iter()
                .chain(FaultRule::mix(plan.seed, plan.faults))
            {
                env.sandbox.add_fault(rule).unwrap();
            }
        }
        Arc::new(env)
    }

    async fn quiet(plan: &Plan, morning: &Morning, postgres: Option<Server>) -> Self {
        let sandbox = Sandbox::start(SandboxOptions {
            seed: plan.seed,
            // In the last one everything is disputed.
            schools: SCHOOLS + 1,
            // Some have left, some have not come yet.
            pupils_per_school: (morning.pupils_each * 5 / 4 + 60).min(10_000),
            history_days: 0,
            write_delay: Duration::from_millis(100),
            extraction_every: Duration::ZERO,
            ..SandboxOptions::default()
        })
        .await
        .unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        let url = match &postgres {
            Some(server) => server.create_database().unwrap(),
            None => format!("sqlite:{}", folder.join("markback.db").display()),
        };
        let pupils = pupils(&sandbox);
        let disputed = disputed(&sandbox, &pupils, morning);
        std::fs::write(folder.join("token"), sandbox.token()).unwrap();
        std::fs::write(folder.join("key"), KEY).unwrap();
        std::fs::write(folder.join("markback.toml"), toml(&sandbox, &url)).unwrap();
        Self {
            sandbox,
            postgres,
            url,
            folder,
            cleared: Some(temporary),
            pupils,
            disputed,
        }
    }

    /// Pupils of whom there is a dispute, each with the school.
    pub(crate) fn disputed(&self) -> &[(String, String)] {
        &self.disputed
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("markback.toml")
    }

    /// A file beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The store's address.
    pub fn store_url(&self) -> &str {
        &self.url
    }

    /// The store, looked at from outside.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn store(&self) -> Store {
        let end = Instant::now() + PATIENCE;
        loop {
            let clock = Arc::new(outbox::SystemClock);
            match Store::open(&self.url, outbox::Settings::default(), clock).await {
                Ok(store) => return store,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The id of the school at this place.
    pub fn school(&self, place: usize) -> String {
        self.sandbox.schools()[place].id.clone()
    }

    /// The id of a pupil on roll at the school at this place.
    pub fn pupil(&self, school: usize, place: usize) -> String {
        self.pupils[school][place].clone()
    }

    /// Each pupil's events with the school they belong to, in order.
    pub(crate) fn events(&self, morning: &Morning) -> Vec<(String, Vec<Value>)> {
        let schools = self.sandbox.schools();
        let events = |(school, place, happenings): &(usize, usize, Vec<_>)| {
            let pupil = &self.pupils[*school][*place];
            let all = happenings.iter().enumerate();
            let all = all.map(|(n, happening): (usize, &super::morning::Happening)| {
                happening.event(&format!("{school}-{place}-{n}"), pupil, at)
            });
            (schools[*school].id.clone(), all.collect())
        };
        morning.pupils.iter().map(events).collect()
    }

    /// What the MISs hold that came from outside and that nobody disputes.
    pub(crate) fn marks(&self) -> Marks {
        let mut held = Marks::new();
        for school in self.sandbox.schools() {
            for mark in self.sandbox.mis_marks(&school.id).unwrap() {
                let disputed = |(_, pupil): &(String, String)| *pupil == mark.student_id;
                if mark.writes > 0 && !self.disputed.iter().any(disputed) {
                    let place = mark.session.map(str::to_owned).or(mark.lesson_id);
                    let place = place.unwrap_or_default();
                    let key = (
                        school.id.clone(),
                        mark.student_id,
                        mark.date.to_string(),
                        place,
                    );
                    let says = format!("{} {:?} {:?}", mark.code, mark.minutes_late, mark.comment);
                    held.insert(key, (says, mark.writes));
                }
            }
        }
        held
    }

    /// How often each mark may have been written, and how many events ended badly without a reason of their own. Each event
    /// writes once; but one that says again what an earlier one said, with another between, may be sent anew after each kill:
    /// in a copy that may be old the two look alike, and what may be the earlier one counts as not written.
    pub(crate) async fn ends(
        &self,
        morning: &Morning,
        store: &Store,
    ) -> (BTreeMap<MarkKey, Writer>, u64) {
        let (mut wanted, mut badly): (BTreeMap<MarkKey, Writer>, _) = (BTreeMap::new(), 0);
        for (school, events) in self.events(morning) {
            for (n, event) in events.iter().enumerate() {
                let (of, id) = (school.as_str().into(), event["id"].as_str().unwrap());
                let before = events.get(..n).unwrap_or_default();
                let says = |other: &Value| other["answers"] == event["answers"];
                let again = event["answers"].is_object()
                    && before.iter().any(says)
                    && !before.last().is_some_and(says);
                let Some(event) = store.event(&of, id).await.unwrap() else {
                    badly += 1;
                    continue;
                };
                // A pupil may be without a lesson that could bear the mark.
                let reason = event
                    .outcome
                    .is_some_and(|words| words.contains("no lesson"));
                badly += u64::from(event.state.may_be_retried() && !reason);
                if !matches!(event.state, EventState::Skipped)
                    && let (Some(student), Some(date), Some(session)) =
                        (event.student, event.date, event.session)
                {
                    let writer = wanted
                        .entry((school.clone(), student, date, session))
                        .or_default();
                    writer.times += if again { ANY } else { 1 };
                    let dropped = |what: &str| {
                        let line = |line: &markback::store::AuditRecord| {
                            line.record["dropped"].to_string().contains(what)
                        };
                        event.history.iter().any(line)
                    };
                    writer.without_comment |= dropped("\"comment\"");
                    writer.without_minutes |= dropped("\"minutes_late\"");
                }
            }
        }
        (wanted, badly)
    }

    /// Leaves everything where it is for whoever looks into it.
    pub(crate) fn keep(self: Arc<Self>) -> PathBuf {
        if let Ok(mut env) = Arc::try_unwrap(self) {
            if let Some(folder) = env.cleared.take() {
                return folder.keep();
            }
            return env.folder;
        }
        PathBuf::new()
    }
}

/// What the MISs hold after a morning in which nothing goes wrong.
pub(crate) async fn in_peace(plan: &Plan, morning: &Morning) -> Marks {
    let env = Env::quiet(plan, morning, None).await;
    let loaded = settings::load(&env.settings()).unwrap().settings;
    let markback = Markback::open(loaded, Options::default()).await.unwrap();
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let (markback, stop) = (markback.clone(), stop.clone());
        async move { markback.run(stop).await }
    });
    let mut by_school: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (school, events) in env.events(morning) {
        by_school.entry(school).or_default().extend(events);
    }
    for (school, events) in by_school {
        let school = school.as_str().into();
        for part in events.chunks(1000) {
            markback.intake(&school, part.to_vec()).await.unwrap();
        }
    }
    let end = Instant::now() + PATIENCE;
    while !markback.is_settled().await.unwrap() {
        assert!(Instant::now() < end, "the morning in peace does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    working.await.unwrap();
    env.marks()
}

/// Pupils on roll that day, by school.
fn pupils(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let there = |school: wonde_sandbox::SchoolInfo| {
        let pupils = sandbox.students(&school.id).unwrap().into_iter();
        pupils
            .filter(|one| one.on_roll && one.admission <= school_day() && one.leaving.is_none())
            .map(|one| one.id)
            .collect()
    };
    sandbox.schools().into_iter().map(there).collect()
}

/// The last pupils of each school, none of whom has a part in the morning.
fn disputed(sandbox: &Sandbox, pupils: &[Vec<String>], morning: &Morning) -> Vec<(String, String)> {
    let mut disputed = Vec::new();
    // Where nothing is written there is nothing to dispute.
    let writing = |school: &wonde_sandbox::SchoolInfo| school.mis != "ScholarPack";
    let schools = sandbox.schools().into_iter().zip(pupils);
    for (school, pupils) in schools.filter(|(school, _)| writing(school)) {
        let part = usize::try_from(morning.pupils_each).unwrap();
        let spare = pupils.get(part..).unwrap_or_default();
        let last = spare.iter().rev().take(PUPILS);
        disputed.extend(last.map(|pupil| (school.id.clone(), pupil.clone())));
    }
    disputed
}

fn toml(sandbox: &Sandbox, url: &str) -> String {
    let mut toml = format!(
        "listen = '127.0.0.1:0'\napi_key_file = 'key'\nstore = '{url}'\nwonde_url = '{}'\n{SERVICE}{PACE}plan_fresh = '1s'\n{TEMPLATE}",
        sandbox.base_url(),
    );
    for school in sandbox.schools() {
        let _ = write!(
            toml,
            "\n[[school]]\nid = '{}'\ntemplate = 'all'\n",
            school.id
        );
    }
    toml
}

const SERVICE: &str = r#"
rate_per_minute = 600000
register_window = "1s"
gather = { window = "50ms", max = 50 }
"#;

const TEMPLATE: &str = r#"
[[template]]
name = "all"
timezone = "Europe/London"
token_file = "token"

[[template.group]]
name = "Pupils"
kind = "students"

[[template.group.field]]
name = "Why?"
on = "sign_in"
options = ["Bus", "Overslept", "M - Medical appointment", "I - Ill"]

[[template.group.field]]
name = "Where?"
on = "sign_out"
options = ["M - Dentist"]

[template.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
protected = ["/", "\\", "M"]
custom_codes = { sign_in = "Why?", sign_out = "Where?" }
comment = { sign_in = "Why?" }
"#;
