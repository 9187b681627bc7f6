//! A school's MIS in memory, behind an adapter: people come, change and go, permissions are withdrawn, answers are cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use mis_core::{
    Capabilities, CodeBook, Deletion, Descriptor, Error, ErrorKind, Mis, MisAdapter, PeopleQuery,
    Person, PersonKind, Property, Register, RegisterQuery, RegisterRow, Result,
};
use roster::{Answers, Membership, Pull, RosterState, Settings, SyncOutcome, SyncTime};

static DESCRIPTOR: Descriptor = Descriptor::new("model", "Model", |_| {
    unreachable!("the model is never connected")
});

/// Rows to a page.
const PAGE: usize = 50;

/// What the MIS holds and how it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) people: BTreeMap<(PersonKind, String), Person>,
    pub(crate) deletions: Vec<Deletion>,
    /// Properties that come as nothing.
    pub(crate) withdrawn: BTreeSet<Property>,
    /// Properties that fail the request.
    pub(crate) refused: BTreeSet<Property>,
    /// Kinds of people that may not be read.
    pub(crate) forbidden: BTreeSet<PersonKind>,
    /// Answers with nobody in them, as the wrong region gives.
    pub(crate) empty: bool,
    /// Rows given of a list before it ends as if it were whole.
    pub(crate) cut_at: Option<usize>,
    /// Requests that are answered before the connection breaks.
    pub(crate) breaks_after: Option<usize>,
    /// Whether counts are told.
    pub(crate) counts: bool,
    /// What of the records cannot be read: of whom, the id, the field, and whether the record is left out for it.
    pub(crate) unread: Vec<(PersonKind, Option<&'static str>, &'static str)>,
    /// The school does not let those be read who are yet to start.
    pub(crate) hides_pre_admission: bool,
}

#[derive(Debug, Default)]
struct Inner {
    world: Mutex<World>,
    requests: AtomicUsize,
}

/// The MIS with its clock.
#[derive(Clone, Debug)]
pub(crate) struct School {
    inner: Arc<Inner>,
    pub(crate) now: DateTime<Utc>,
}

impl School {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
            now: at("2026-11-23T07:00:00Z"),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap()
    }

    pub(crate) fn requests(&self) -> usize {
        self.inner.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn mis(&self) -> Mis {
        Mis::new(Arc::new(Model(self.inner.clone())))
    }

    pub(crate) fn today(&self) -> NaiveDate {
        self.now.date_naive()
    }

    pub(crate) fn when(&self) -> SyncTime {
        SyncTime {
            now: self.now,
            today: self.today(),
        }
    }

    pub(crate) fn wait(&mut self, time: TimeDelta) {
        self.now += time;
    }

    /// Writes a record, new or changed.
    pub(crate) fn put(&self, person: Person) {
        let person = Person {
            changed_at: Some(self.now),
            ..person
        };
        self.world()
            .people
            .insert((person.kind, person.id.clone()), person);
    }

    /// Changes a record that is there.
    pub(crate) fn edit(&self, kind: PersonKind, id: &str, change: impl FnOnce(&mut Person)) {
        let mut person = self.world().people[&(kind, id.to_owned())].clone();
        change(&mut person);
        self.put(person);
    }

    /// Takes a record out, and says so among the deletions.
    pub(crate) fn delete(&self, kind: PersonKind, id: &str) {
        self.take_out(kind, id);
        self.world().deletions.push(Deletion {
            kind,
            id: id.to_owned(),
            gone: true,
            at: Some(self.now),
        });
    }

    /// Takes a record out without a word.
    pub(crate) fn take_out(&self, kind: PersonKind, id: &str) -> Option<Person> {
        self.world().people.remove(&(kind, id.to_owned()))
    }

    pub(crate) async fn read(
        &self,
        state: &RosterState,
        settings: &Settings,
        full: bool,
    ) -> Answers {
        let mut pull = Pull::new(state, settings, full, self.now);
        pull.run(&self.mis(), state, || self.now, &mut |_| ())
            .await
            .unwrap();
        pull.into_answers()
    }

    pub(crate) async fn sync(
        &self,
        state: &RosterState,
        settings: &Settings,
        full: bool,
    ) -> SyncOutcome {
        let answers = self.read(state, settings, full).await;
        state.apply(settings, &answers, self.when(), false)
    }

    /// The first sync, which a person looks at: some schools have no parents in these tests.
    pub(crate) async fn first(&self, settings: &Settings) -> RosterState {
        let state = RosterState::default();
        let answers = self.read(&state, settings, true).await;
        state.apply(settings, &answers, self.when(), true).state
    }
}

#[derive(Debug)]
struct Model(Arc<Inner>);

impl Model {
    fn rows(&self, query: &PeopleQuery) -> Result<Vec<Person>> {
        let world = self.0.world.lock().unwrap();
        if world.forbidden.contains(&query.kind)
            || query
                .properties
                .iter()
                .any(|p| p.is_of(query.kind) && world.refused.contains(p))
        {
            return Err(Error::new(ErrorKind::Forbidden, "invalid_permissions"));
        }
        if query.pre_admission && world.hides_pre_admission {
            return Err(Error::new(ErrorKind::Forbidden, "invalid_permissions"));
        }
        if let Some(issues) = query.issues.as_ref().filter(|_| !query.pre_admission) {
            for (_, id, field) in world.unread.iter().filter(|(kind, ..)| *kind == query.kind) {
                let issue = serde_json::json!({
                    "id": id, "field": field, "page": 1, "expected": "something else", "left_out": id.is_none(),
                });
                issues.push(serde_json::from_value(issue).unwrap());
            }
        }
        if world.empty {
            return Ok(Vec::new());
        }
        let asked: BTreeSet<_> = query
            .properties
            .difference(&world.withdrawn)
            .copied()
            .collect();
        let rows = world
            .people
            .values()
            .filter(|person| {
                person.kind == query.kind && person.pre_admission == query.pre_admission
            })
            .filter(|person| {
                query
                    .updated_after
                    .is_none_or(|since| person.changed_at > Some(since))
            })
            .map(|person| person.clone().trimmed(&asked));
        Ok(rows.take(world.cut_at.unwrap_or(usize::MAX)).collect())
    }

    fn request(&self) -> Result<()> {
        let before = self.0.requests.fetch_add(1, Ordering::Relaxed);
        match self.0.world.lock().unwrap().breaks_after {
            Some(limit) if before >= limit => {
                Err(Error::new(ErrorKind::Unavailable, "the connection broke"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl MisAdapter for Model {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn capabilities(&self) -> Capabilities {
        DESCRIPTOR.capabilities
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        unreachable!("the roster reads no codes")
    }

    async fn register(&self, _: NaiveDate) -> Result<Register> {
        unreachable!("the roster reads no registers")
    }

    fn register_rows(&self, _: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        unreachable!("the roster reads no registers")
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        let rows = match self.rows(&query) {
            Ok(rows) => rows,
            Err(error) => {
                let _ = self.request();
                return stream::once(async { Err(error) }).boxed();
            }
        };
        let model = Self(self.0.clone());
        // The first request is made even if nobody is there to be read.
        let first = stream::iter(
            rows.is_empty()
                .then(|| model.request().err())
                .flatten()
                .map(Err),
        );
        let rest = rows.into_iter().enumerate().map(move |(n, row)| {
            if n % PAGE == 0 {
                model.request()?;
            }
            Ok(row)
        });
        first.chain(stream::iter(rest)).boxed()
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        let answer = self.request();
        let world = self.0.world.lock().unwrap();
        let rows: Vec<_> = world
            .deletions
            .iter()
            .filter(|deletion| deletion.at > since)
            .cloned()
            .collect();
        let rows = rows.into_iter().map(Ok);
        stream::iter(answer.err().map(Err).into_iter().chain(rows)).boxed()
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.request()?;
        let world = self.0.world.lock().unwrap();
        let counted = |person: &&Person| person.kind == kind && !person.pre_admission;
        let count = world.people.values().filter(counted).count();
        Ok(world.counts.then_some(count as u64))
    }
}

pub(crate) fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

pub(crate) fn day(date: &str) -> NaiveDate {
    date.parse().unwrap()
}

/// A group out of its settings as JSON.
pub(crate) fn group(
    name: &str,
    kind: PersonKind,
    membership: serde_json::Value,
) -> roster::GroupSettings {
    roster::GroupSettings {
        name: name.into(),
        kind,
        membership: serde_json::from_value::<Membership>(membership).unwrap(),
    }
}

pub(crate) fn student(n: usize, year: &str) -> Person {
    Person {
        upi: Some(format!("upi-{n}")),
        mis_id: Some(format!("{n}")),
        forename: Some(format!("Given{n}")),
        surname: Some(format!("Family{n}")),
        year: Some(year.into()),
        registration: Some(format!("{year}A")),
        joins: Some(day("2024-09-02")),
        ..Person::new(PersonKind::Student, format!("S{n:04}"))
    }
}

pub(crate) fn staff(n: usize, teaching: bool) -> Person {
    Person {
        upi: Some(format!("staff-{n}")),
        forename: Some(format!("Given{n}")),
        surname: Some(format!("Family{n}")),
        current: Some(true),
        teaching: Some(teaching),
        joins: Some(day("2020-09-01")),
        ..Person::new(PersonKind::Staff, format!("E{n:04}"))
    }
}

pub(crate) fn parent(n: usize) -> Person {
    Person {
        upi: Some(format!("contact-{n}")),
        forename: Some(format!("Given{n}")),
        surname: Some(format!("Family{n}")),
        ..Person::new(PersonKind::Parent, format!("C{n:04}"))
    }
}

/// The keys in a group.
pub(crate) fn keys(state: &RosterState, group: &str) -> Vec<String> {
    let list = state.lists.get(group).map(|list| list.members.keys());
    list.into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}
