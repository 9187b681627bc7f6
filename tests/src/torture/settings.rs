//! The schools' settings change in the database while events are delivered: the code for an arrival after the register
//! has closed goes from one to the other and back. Afterwards each event must have the code of the version that its row
//! names, a replay of its decisions must agree, and the MIS must hold what the last sent event says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use markback::{
    configuration::{ChangeError, Configuration},
    operator::Actor,
    replay_decision::replay_decision,
    service::EventState,
    settings::{Revision, SettingsVersion},
    store::{EventFilter, EventRecord, SettingsKey, Store},
};
use mis_core::{Registry, SchoolId};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use super::{
    Env, PATIENCE, Plan,
    env::{MarkKey, Marks, TEMPLATE},
};

/// The code that the environment's template has, by default.
const USUAL: &str = "U";
/// The code in every other version. Nothing else writes it.
const OTHER: &str = "O";

/// What the events say about the settings that they were decided by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreement {
    /// How often the settings of all schools changed.
    pub(crate) changes: u32,
    /// The events whose decisions were replayed.
    pub(crate) replayed: usize,
    /// The versions of the database that decided, with the school.
    pub(crate) versions: usize,
    /// The events whose decision has the one or the other code.
    pub(crate) codes: [usize; 2],
    /// Events and marks that do not agree with their version.
    pub(crate) differing: Vec<String>,
}

/// Moves all schools into the database, before a node runs.
pub(crate) async fn adopt(env: &Env) {
    let store = env.store().await;
    let mut all = Configuration::open(store, env.settings()).await.unwrap();
    let ids: Vec<_> = schools(env).iter().map(ToString::to_string).collect();
    all.adopt(&ids, &actor()).await.unwrap();
}

/// Changes the settings of all schools again and again until it is stopped. Returns how often.
pub(crate) async fn change(plan: Plan, env: Arc<Env>, mut stopped: watch::Receiver<bool>) -> u32 {
    let mut random = StdRng::seed_from_u64(plan.seed ^ 0x5e77_1465);
    let mut changes = 0;
    loop {
        let rest = Duration::from_millis(random.random_range(300..1500));
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = stopped.changed() => return changes,
        }
        // At any time both codes are in force, so that both decide events however few bursts those come in.
        for (school, number) in schools(&env).into_iter().zip(changes..) {
            let code = if number % 2 == 0 { OTHER } else { USUAL };
            let end = Instant::now() + PATIENCE;
            // The database may be restarted meanwhile.
            while let Err(error) = activate(&env, &school, code).await {
                assert!(
                    matches!(error, ChangeError::Store(_)) && Instant::now() < end,
                    "{error}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        changes += 1;
    }
}

async fn activate(env: &Env, school: &SchoolId, code: &str) -> Result<(), ChangeError> {
    let (key, actor) = (SettingsKey::school(school), actor());
    let mut all = Configuration::open(env.store().await, env.settings()).await?;
    all.draft(&key, &text(code), None, &actor).await?;
    all.activate(&key, None, &actor).await?;
    Ok(())
}

/// The template as a school's own settings, with this code.
fn text(code: &str) -> String {
    let own = TEMPLATE
        .replace("[[template]]\nname = \"all\"\n", "")
        .replace("template.group", "group");
    own.replace(
        "[group.writeback]\n",
        &format!("[group.writeback]\n{}\n", line(code)),
    )
}

fn line(code: &str) -> String {
    format!("codes = {{ unauthorised = \"{code}\" }}")
}

fn schools(env: &Env) -> Vec<SchoolId> {
    let schools = env.sandbox.schools().into_iter();
    schools.map(|school| SchoolId::from(school.id)).collect()
}

fn actor() -> Actor {
    Actor {
        via: "test",
        ..Actor::default()
    }
}

/// The marks as if the code had never changed, to compare them with those of the run without faults.
pub(crate) fn as_without_changes(marks: &Marks) -> Marks {
    let usual = |says: &str| match says.split_once(' ') {
        Some((OTHER, rest)) => format!("{USUAL} {rest}"),
        _ => says.to_owned(),
    };
    marks
        .iter()
        .map(|(key, (says, writes))| (key.clone(), (usual(says), *writes)))
        .collect()
}

/// Compares all events and marks with the versions of the settings.
pub(crate) async fn agreement(env: &Env, store: &Store, changes: u32) -> Agreement {
    let mut found = Agreement {
        changes,
        ..Agreement::default()
    };
    let everything = EventFilter {
        limit: u32::MAX,
        ..EventFilter::default()
    };
    let events = store.search(&everything).await.unwrap();
    let codes = prescribed(env, store).await;
    let registry = Registry::discover().unwrap();
    let mut versions = BTreeSet::new();
    for event in events.iter().filter(|event| event.decision.is_some()) {
        let school = SchoolId::from(event.school.as_str());
        let replay = replay_decision(store, &registry, &school, &event.id).await;
        let replay = replay.unwrap().unwrap();
        let last = replay.decisions.last();
        if !replay.same || last.is_none_or(|last| last.settings != event.settings) {
            found.differs(event, &format!("replays as {replay:?}"));
        }
        found.replayed += 1;
        let Some(number) = number(event) else {
            found.differs(event, "is of no version of the database");
            continue;
        };
        versions.insert((&event.school, number));
        let Some((place, code)) = mark(event).and_then(place) else {
            continue;
        };
        found.codes[place] += 1;
        let prescribed = codes.get(&(event.school.clone(), number)).copied();
        if prescribed != Some(code) {
            found.differs(event, &format!("has {code:?}, not {prescribed:?}"));
        }
    }
    found.versions = versions.len();
    let last = last_sent(&events);
    for (key, (says, _)) in env.marks() {
        let code = says.split(' ').next().unwrap_or_default();
        let Some((_, code)) = place(code) else {
            continue;
        };
        match last.get(&key) {
            Some(event) if mark(event) == Some(code) => {}
            Some(event) => found.differs(event, &format!("was sent last, and the MIS has {code}")),
            None => {
                let others = events.iter().filter(|event| is_at(event, &key));
                let told = others.map(|event| {
                    let state = event.state.as_str();
                    format!("{} {state}, {:?}", event.id, event.steps)
                });
                let told: Vec<_> = told.collect();
                let line = format!("{key:?} {code} is of no event; there: {told:?}");
                found.differing.push(line);
            }
        }
    }
    found
}

/// The code that each version of each school prescribes. The first version is the file's.
async fn prescribed(env: &Env, store: &Store) -> BTreeMap<(String, u32), &'static str> {
    let mut codes = BTreeMap::new();
    for school in schools(env) {
        let versions = store.settings_versions(&SettingsKey::school(&school)).await;
        for version in versions.unwrap() {
            let other = version.body.contains(&line(OTHER));
            let code = if other { OTHER } else { USUAL };
            codes.insert((school.to_string(), version.number), code);
        }
    }
    codes
}

fn number(event: &EventRecord) -> Option<u32> {
    let version: SettingsVersion = event.settings.as_deref()?.parse().ok()?;
    match version.own {
        Revision::Store(number) => Some(number),
        _ => None,
    }
}

/// The code and its place among the two, if it is one of them.
fn place(code: &str) -> Option<(usize, &'static str)> {
    let mut both = [USUAL, OTHER].into_iter().enumerate();
    both.find(|(_, one)| *one == code)
}

fn mark(event: &EventRecord) -> Option<&str> {
    event.decision.as_ref()?["mark"]["code"].as_str()
}

/// Whether an event was decided for a mark of this pupil and day.
fn is_at(event: &EventRecord, key: &MarkKey) -> bool {
    let (school, student, date, _) = key;
    event.school == *school
        && event.student.as_ref() == Some(student)
        && event.date.as_ref() == Some(date)
}

/// The event that was sent last for each mark, of those whose mark may be in the MIS.
fn last_sent(events: &[EventRecord]) -> BTreeMap<MarkKey, &EventRecord> {
    let mut last: BTreeMap<MarkKey, (DateTime<Utc>, &EventRecord)> = BTreeMap::new();
    for event in events {
        let written = matches!(
            event.state,
            EventState::Accepted | EventState::Confirmed | EventState::Unconfirmed
        );
        // A mark that was read back because no response came has no time of sending.
        let (Some(sent), Some(student), Some(date), Some(session), true) = (
            event.sent_at.or(event.settled_at),
            &event.student,
            &event.date,
            &event.session,
            written,
        ) else {
            continue;
        };
        // Some MISs name a mark's session, and others only its lesson.
        for place in [Some(session), event.lesson_id.as_ref()]
            .into_iter()
            .flatten()
        {
            let key = [&event.school, student, date, place].map(Clone::clone);
            let latest = last.entry(key.into()).or_insert((sent, event));
            if latest.0 < sent {
                *latest = (sent, event);
            }
        }
    }
    last.into_iter()
        .map(|(key, (_, event))| (key, event))
        .collect()
}

impl Agreement {
    fn differs(&mut self, event: &EventRecord, how: &str) {
        let settings = event.settings.as_deref().unwrap_or("no version");
        let state = event.state.as_str();
        self.differing
            .push(format!("event {} of {settings}, {state}, {how}", event.id));
    }
}
