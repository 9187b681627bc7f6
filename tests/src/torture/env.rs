//! The environment: a sandbox that outlives every node, a database, and the settings of all nodes. It also runs the
//! same morning without faults, to find the expected marks.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use markback::{
    service::{EventState, Options},
    store::Store,
};
use markback_lab::harness::{TestBed, Workers, quick_sandbox};
use serde_json::Value;
use throwaway_postgres::Server;
use wonde_sandbox::{FaultRule, SandboxOptions};

use super::report::Writer;
use super::{
    Morning, PATIENCE, Plan,
    dispute::{self, PUPILS},
    morning::SCHOOLS,
};
use crate::world::{SHORT_DELAYS, at, school_day};

/// The database of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// An SQLite file.
    Sqlite,
    /// A new PostgreSQL server.
    Postgres,
}

/// The content of each mark and how often it was written.
pub(crate) type Marks = BTreeMap<MarkKey, (String, u32)>;

/// More than any number of writes.
const ANY: u32 = 1_000;

/// School, pupil, date and session.
pub(crate) type MarkKey = (String, String, String, String);

/// A test bed with the pupils of a morning.
#[derive(Debug)]
pub struct Env {
    bed: TestBed,
    /// The PostgreSQL server of the nodes, if they use one.
    pub postgres: Option<Server>,
    pupils: Vec<Vec<String>>,
    /// The pupils whose marks are disputed, each with the school.
    disputed: Vec<(String, String)>,
}

impl Deref for Env {
    type Target = TestBed;

    fn deref(&self) -> &TestBed {
        &self.bed
    }
}

impl Env {
    /// Creates the environment for a plan.
    ///
    /// # Panics
    /// If it cannot be set up.
    pub async fn new(plan: &Plan, morning: &Morning, postgres: Option<Server>) -> Arc<Self> {
        let env = Self::without_faults(plan, morning, postgres).await;
        for rule in dispute::rejections(&env, plan.seed) {
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

    async fn without_faults(plan: &Plan, morning: &Morning, postgres: Option<Server>) -> Self {
        let options = SandboxOptions {
            seed: plan.seed,
            // All pupils of the last school are disputed.
            schools: SCHOOLS + 1,
            // Some pupils have left, and some have not started.
            pupils_per_school: (morning.pupils_each * 5 / 4 + 60).min(10_000),
            write_delay: Duration::from_millis(100),
            ..quick_sandbox()
        };
        let store = postgres
            .as_ref()
            .map(|server| server.create_database().unwrap());
        let bed = TestBed::start(store, options).await;
        let tables = format!("{SHORT_DELAYS}plan_fresh = '1s'\n{TEMPLATE}");
        bed.write_settings(SERVICE, &tables, usize::MAX, "template = 'all'");
        let pupils = pupils(&bed);
        let disputed = disputed(&bed.sandbox, &pupils, morning);
        Self {
            bed,
            postgres,
            pupils,
            disputed,
        }
    }

    /// The pupils whose marks are disputed, each with the school.
    pub(crate) fn disputed(&self) -> &[(String, String)] {
        &self.disputed
    }

    /// Opens the database, beside the nodes.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn store(&self) -> Store {
        let end = Instant::now() + PATIENCE;
        loop {
            let clock = Arc::new(outbox::SystemClock);
            match Store::open(self.store_url(), outbox::Settings::default(), clock).await {
                Ok(store) => return store,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The id of a pupil on roll at the school at this place.
    pub fn pupil(&self, school: usize, place: usize) -> String {
        self.pupils[school][place].clone()
    }

    /// Each pupil's events in order, with the school.
    pub(crate) fn events(&self, morning: &Morning) -> Vec<(String, Vec<Value>)> {
        let schools = self.sandbox.schools();
        let events = |(school, place, planned): &(usize, usize, Vec<_>)| {
            let pupil = &self.pupils[*school][*place];
            let all = planned.iter().enumerate();
            let all = all.map(|(n, event): (usize, &super::morning::PlannedEvent)| {
                event.event(&format!("{school}-{place}-{n}"), pupil, at)
            });
            (schools[*school].id.clone(), all.collect())
        };
        morning.pupils.iter().map(events).collect()
    }

    /// The marks in the MISs that were written through Wonde and are not disputed.
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

    /// How often each mark may be written, and the number of events that failed without a valid reason. Each event
    /// writes once. But an event that repeats an earlier one, with another in between, may be sent again after each
    /// kill: an outdated copy does not distinguish the two, so the later one counts as not written.
    pub(crate) async fn outcomes(
        &self,
        morning: &Morning,
        store: &Store,
    ) -> (BTreeMap<MarkKey, Writer>, u64) {
        let (mut wanted, mut unexpected): (BTreeMap<MarkKey, Writer>, _) = (BTreeMap::new(), 0);
        for (school, events) in self.events(morning) {
            for (n, event) in events.iter().enumerate() {
                let (of, id) = (school.as_str().into(), event["id"].as_str().unwrap());
                let before = events.get(..n).unwrap_or_default();
                let says = |other: &Value| other["answers"] == event["answers"];
                let again = event["answers"].is_object()
                    && before.iter().any(says)
                    && !before.last().is_some_and(says);
                let Some(event) = store.event(&of, id).await.unwrap() else {
                    unexpected += 1;
                    continue;
                };
                // A pupil may have no lesson for the mark.
                let reason = event
                    .outcome
                    .is_some_and(|words| words.contains("no lesson"));
                unexpected += u64::from(event.state.may_be_retried() && !reason);
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
        (wanted, unexpected)
    }

    /// Keeps the files for inspection and returns their folder.
    pub(crate) fn keep_files(self: Arc<Self>) -> PathBuf {
        Arc::try_unwrap(self).map_or_else(|_| PathBuf::new(), |env| env.bed.folder.keep())
    }
}

/// The marks in the MISs after a morning without faults.
pub(crate) async fn marks_without_faults(plan: &Plan, morning: &Morning) -> Marks {
    let env = Env::without_faults(plan, morning, None).await;
    let markback = env.open(Options::default()).await;
    let workers = Workers::start(&markback);
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
        assert!(
            Instant::now() < end,
            "the morning without faults does not end"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    workers.stop().await;
    env.marks()
}

/// The pupils on roll that day, by school.
fn pupils(bed: &TestBed) -> Vec<Vec<String>> {
    let there = |school: wonde_sandbox::SchoolInfo| {
        let pupils = bed.pupils_of(&school.id).into_iter();
        pupils
            .filter(|one| one.admission <= school_day())
            .map(|one| one.id)
            .collect()
    };
    bed.sandbox.schools().into_iter().map(there).collect()
}

/// The last pupils of each school, who have no events in the morning.
fn disputed(
    sandbox: &wonde_sandbox::Sandbox,
    pupils: &[Vec<String>],
    morning: &Morning,
) -> Vec<(String, String)> {
    let mut disputed = Vec::new();
    // A school without marks has nothing to dispute.
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

const SERVICE: &str = r#"
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
