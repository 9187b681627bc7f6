//! What holds whatever happens at a school, in any order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, TimeDelta};
use futures::executor::block_on;
use mis_core::{Person, Relation};
use proptest::prelude::*;
use roster::{
    Cause, Change, ChangeKind, Directory, Guard, HeldBack, List, Member, PersonKey, PersonKind,
    RosterState, Settings, SyncOutcome,
};
use serde_json::json;

use crate::model::{School, group, parent, staff, student};

const YEARS: [&str; 4] = ["7", "Year 8", "9", "13"];
const STUDENTS: usize = 6;
const PARENTS: usize = 5;
const STAFF: usize = 3;

/// Something that happens at the school, or a sync.
#[derive(Clone, Debug)]
enum Event {
    /// A pupil comes, or is written anew: year, house, contacts.
    Student(usize, usize, bool, Vec<(usize, bool)>),
    /// A pupil's first and last day are set, in days from today.
    Dates(usize, i64, Option<i64>),
    /// A pupil enrols again under another id; the old record goes or stays as that of a leaver.
    Again(usize, bool),
    Parent(usize, bool),
    Staff(usize, bool, Option<bool>),
    /// The MIS deletes a record and says so.
    Delete(PersonKind, usize),
    /// The MIS drops a record, or changes it, without a word.
    Silent(PersonKind, usize, bool),
    Wait(i64),
    Sync(bool),
}

fn any_kind() -> impl Strategy<Value = PersonKind> {
    prop_oneof![
        3 => Just(PersonKind::Student),
        1 => Just(PersonKind::Staff),
        2 => Just(PersonKind::Parent),
    ]
}

fn any_event(silent: bool) -> impl Strategy<Value = Event> {
    let contacts = proptest::collection::vec((0..PARENTS, any::<bool>()), 0..3);
    prop_oneof![
        4 => (0..STUDENTS, 0..YEARS.len(), any::<bool>(), contacts)
            .prop_map(|(n, year, house, contacts)| Event::Student(n, year, house, contacts)),
        2 => (0..STUDENTS, -3..4i64, proptest::option::of(-4..4i64))
            .prop_map(|(n, joins, leaves)| Event::Dates(n, joins, leaves)),
        1 => (0..STUDENTS, any::<bool>()).prop_map(|(n, stays)| Event::Again(n, stays)),
        2 => (0..PARENTS, any::<bool>()).prop_map(|(n, named)| Event::Parent(n, named)),
        1 => (0..STAFF, any::<bool>(), any::<Option<bool>>()).prop_map(|(n, t, c)| Event::Staff(n, t, c)),
        2 => (any_kind(), 0..STUDENTS).prop_map(|(kind, n)| Event::Delete(kind, n)),
        2 => (any_kind(), 0..STUDENTS, any::<bool>()).prop_map(move |(kind, n, gone)| match silent {
            true => Event::Silent(kind, n, gone),
            false => Event::Delete(kind, n),
        }),
        2 => (1..60i64).prop_map(Event::Wait),
        2 => any::<bool>().prop_map(move |full| Event::Sync(full && silent)),
    ]
}

fn settings(guard: Guard) -> Settings {
    Settings {
        guard,
        ..Settings::new(vec![
            group(
                "Curie",
                PersonKind::Student,
                json!({"houses": ["Curie"], "years": [7, 8, 9]}),
            ),
            group("Lower", PersonKind::Student, json!({"years": [7, 8]})),
            group("Nine", PersonKind::Student, json!({"years": [9]})),
            group("Teachers", PersonKind::Staff, json!({"teaching": true})),
            group("Others", PersonKind::Staff, json!({})),
            group(
                "Responsible",
                PersonKind::Parent,
                json!({"of": ["Lower", "Curie"], "parental_responsibility": true}),
            ),
            group(
                "Parents",
                PersonKind::Parent,
                json!({"of": ["Lower", "Nine"]}),
            ),
        ])
    }
}

/// A school in which things happen, with a host that follows.
struct Course {
    school: School,
    settings: Settings,
    state: RosterState,
    again: [usize; STUDENTS],
    changes: Vec<Change>,
    /// What the host's lists were after each change number.
    stages: Vec<(u64, BTreeMap<String, List>)>,
}

impl Course {
    fn new(guard: Guard) -> Self {
        let school = School::new();
        // Somebody always has everything, so that no property is nothing for all.
        school.put(Person {
            house: Some("Curie".into()),
            contacts: vec![stands(90, true)],
            ..student(90, "7")
        });
        school.put(staff(90, true));
        school.put(parent(90));
        let mut course = Self {
            school,
            settings: settings(guard),
            state: RosterState::default(),
            again: [0; STUDENTS],
            changes: Vec::new(),
            stages: vec![(0, BTreeMap::new())],
        };
        course.school.wait(TimeDelta::days(1));
        course.sync(true);
        course
    }

    fn id(&self, kind: PersonKind, n: usize) -> String {
        match kind {
            PersonKind::Student => format!("S{n:04}-{}", self.again[n % STUDENTS]),
            PersonKind::Staff => staff(n % STAFF, true).id,
            PersonKind::Parent => parent(n % PARENTS).id,
        }
    }

    fn has(&self, kind: PersonKind, n: usize) -> bool {
        self.school
            .world()
            .people
            .contains_key(&(kind, self.id(kind, n)))
    }

    fn happen(&mut self, event: &Event) -> Option<SyncOutcome> {
        let today = self.school.today();
        match event.clone() {
            Event::Student(n, year, house, contacts) => {
                let id = self.id(PersonKind::Student, n);
                let mut row = Person {
                    id,
                    ..student(n, YEARS[year])
                };
                row.house = house.then(|| "Curie".to_owned());
                row.contacts = contacts
                    .into_iter()
                    .map(|(n, has)| stands(n, has))
                    .collect();
                self.school.put(row);
            }
            Event::Dates(n, joins, leaves) if self.has(PersonKind::Student, n) => {
                self.school.edit(
                    PersonKind::Student,
                    &self.id(PersonKind::Student, n),
                    |row| {
                        row.joins = Some(today + TimeDelta::days(joins));
                        row.leaves = leaves.map(|days| today + TimeDelta::days(days));
                    },
                );
            }
            Event::Again(n, stays) if self.has(PersonKind::Student, n) => {
                let id = self.id(PersonKind::Student, n);
                let row = self.school.world().people[&(PersonKind::Student, id.clone())].clone();
                if stays {
                    self.school.edit(PersonKind::Student, &id, |row| {
                        row.leaves = Some(today - Days::new(1))
                    });
                } else {
                    self.school.delete(PersonKind::Student, &id);
                }
                self.again[n] += 1;
                let id = self.id(PersonKind::Student, n);
                let mis_id = Some(format!("again-{id}"));
                self.school.put(Person {
                    id,
                    mis_id,
                    joins: Some(today),
                    leaves: None,
                    ..row
                });
            }
            Event::Parent(n, named) => {
                let mut row = parent(n);
                // Two of them are records of one person, known by the MIS's key alone.
                if n < 2 {
                    row.upi = None;
                    row.mis_id = Some("both".into());
                }
                row.forename = named.then(|| "Named".to_owned());
                self.school.put(row);
            }
            Event::Staff(n, teaching, current) => {
                self.school.put(Person {
                    current,
                    ..staff(n, teaching)
                });
            }
            Event::Delete(kind, n) if self.has(kind, n) => {
                self.school.delete(kind, &self.id(kind, n))
            }
            Event::Silent(kind, n, gone) if self.has(kind, n) => {
                let id = self.id(kind, n);
                if gone {
                    self.school.take_out(kind, &id);
                } else if let Some(row) = self.school.world().people.get_mut(&(kind, id)) {
                    row.surname = Some("Silently-Renamed".into());
                    row.year = row.year.as_ref().map(|_| "9".into());
                }
            }
            Event::Wait(hours) => self.school.wait(TimeDelta::hours(hours)),
            Event::Sync(full) => return Some(self.sync(full)),
            Event::Dates(..) | Event::Again(..) | Event::Delete(..) | Event::Silent(..) => {}
        }
        None
    }

    fn sync(&mut self, full: bool) -> SyncOutcome {
        let outcome = block_on(self.school.sync(&self.state, &self.settings, full));
        self.state = outcome.state.clone();
        self.changes.extend(outcome.changes.iter().cloned());
        self.stages.push((self.state.seq, self.state.lists.clone()));
        outcome
    }

    /// What a host sees who asks for the first time now.
    fn fresh(&self) -> RosterState {
        block_on(
            self.school
                .sync(&RosterState::default(), &self.settings, true),
        )
        .state
    }
}

fn stands(n: usize, responsible: bool) -> Relation {
    Relation {
        parental_responsibility: Some(responsible),
        ..Relation::new(parent(n).id)
    }
}

/// The lists with everybody under the id they have today, whatever key they were given.
fn by_present_id(
    course: &Course,
    state: &RosterState,
) -> BTreeMap<String, BTreeMap<String, Member>> {
    let directory = Directory::new(state, course.school.today());
    let present = |key: &PersonKey| PersonKey::new(&directory.find(key.as_str()).unwrap().id);
    let plain = |member: &Member| {
        let children = member.children.iter().map(present).collect();
        Member {
            key: PersonKey::new(&member.person.id),
            children,
            ..member.clone()
        }
    };
    let list = |list: &List| {
        list.members
            .values()
            .map(|member| (member.person.id.clone(), plain(member)))
            .collect()
    };
    state
        .lists
        .iter()
        .map(|(name, members)| (name.clone(), list(members)))
        .collect()
}

fn follow(lists: &mut BTreeMap<String, BTreeMap<PersonKey, Member>>, change: &Change) {
    let list = lists.entry(change.group.clone()).or_default();
    let before = list.contains_key(&change.person);
    match &change.kind {
        ChangeKind::Joined { member } => {
            assert!(!before, "who joins was not there: {change:?}");
            list.insert(change.person.clone(), (**member).clone());
        }
        ChangeKind::Changed { member, fields } => {
            assert!(before && !fields.is_empty(), "{change:?}");
            list.insert(change.person.clone(), (**member).clone());
        }
        ChangeKind::Left { .. } => {
            assert!(before, "who leaves was there: {change:?}");
            list.remove(&change.person);
        }
    }
}

fn people(lists: &BTreeMap<String, List>) -> BTreeMap<String, BTreeMap<PersonKey, Member>> {
    let people = lists
        .iter()
        .map(|(name, list)| (name.clone(), list.members.clone()));
    people.filter(|(_, list)| !list.is_empty()).collect()
}

/// Whether the cause is true, by what the school holds now and the group held before.
fn is_true(
    course: &Course,
    before: &RosterState,
    after: &RosterState,
    change: &Change,
    cause: &Cause,
) -> bool {
    let kind = course.settings.group(&change.group).unwrap().kind;
    let keys = &after.kinds[&kind].keys;
    let ids: BTreeSet<String> = keys
        .get(&change.person)
        .map(|i| i.ids.clone())
        .unwrap_or_default();
    let world = course.school.world();
    let rows: Vec<_> = ids
        .iter()
        .filter_map(|id| world.people.get(&(kind, id.clone())))
        .collect();
    let today = course.school.today();
    // A last day before the first one is that of an earlier stay.
    let gone = |row: &&Person| {
        row.leaves
            .is_some_and(|last| last < today && row.joins.is_none_or(|first| first <= last))
    };
    match cause {
        Cause::LeftSchool { on } => {
            let known = ids
                .iter()
                .filter_map(|id| before.kinds[&kind].records.get(id));
            *on < today
                && rows
                    .into_iter()
                    .chain(known)
                    .any(|row| row.leaves == Some(*on))
        }
        Cause::NotYetHere { from } => {
            *from > today && rows.iter().any(|row| row.joins == Some(*from))
        }
        Cause::Moved { to } => after.lists[to].members.contains_key(&change.person),
        Cause::Deleted | Cause::Gone => rows.is_empty(),
        Cause::NotTaken => {
            !rows.is_empty()
                && !rows.iter().all(gone)
                && after.group_of(kind, &change.person).is_none()
        }
        Cause::ChildrenLeft | Cause::ChildrenMoved | Cause::ChildrenGone => {
            kind == PersonKind::Parent && after.group_of(kind, &change.person).is_none()
        }
        Cause::Merged { .. } => keys.get(&change.person).is_none(),
        Cause::Excluded | Cause::GroupRemoved => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 192 } else { 2_000 }))]

    /// Whatever the MIS tells of, a small sync brings: the result is that of reading everything anew.
    #[test]
    fn small_syncs_equal_a_fresh_full_pull(events in proptest::collection::vec(any_event(false), 1..40)) {
        let mut course = Course::new(Guard::OFF);
        for event in &events {
            course.happen(event);
        }
        course.school.wait(TimeDelta::hours(1));
        course.sync(false);
        let fresh = course.fresh();
        for (kind, known) in &fresh.kinds {
            prop_assert_eq!(&known.records, &course.state.kinds[kind].records);
        }
        prop_assert_eq!(by_present_id(&course, &course.state), by_present_id(&course, &fresh));
    }

    /// What the MIS does without a word, the nightly full sync brings.
    #[test]
    fn a_full_sync_finds_unreported_changes(
        events in proptest::collection::vec(any_event(true), 1..40),
    ) {
        let mut course = Course::new(Guard::OFF);
        for event in &events {
            course.happen(event);
        }
        course.sync(true);
        let fresh = course.fresh();
        prop_assert_eq!(by_present_id(&course, &course.state), by_present_id(&course, &fresh));
    }

    /// A host that reads the changes from any number on comes to the same lists.
    #[test]
    fn changes_from_any_cursor_lead_to_the_same_lists(
        events in proptest::collection::vec(any_event(true), 1..40),
    ) {
        let mut course = Course::new(Guard::OFF);
        for event in &events {
            course.happen(event);
        }
        course.sync(false);
        let numbers: Vec<_> = course.changes.iter().map(|change| change.seq).collect();
        prop_assert_eq!(numbers, (1..=course.state.seq).collect::<Vec<_>>());
        for (cursor, lists) in &course.stages {
            let mut lists = people(lists);
            for change in course.changes.iter().filter(|change| change.seq > *cursor) {
                follow(&mut lists, change);
            }
            lists.retain(|_, list| !list.is_empty());
            prop_assert_eq!(lists, people(&course.state.lists));
        }
    }

    /// Nobody leaves a group without a cause, and the cause is true.
    #[test]
    fn nobody_leaves_without_a_reason(events in proptest::collection::vec(any_event(true), 1..40)) {
        let mut course = Course::new(Guard::OFF);
        for event in events.iter().chain([&Event::Sync(false), &Event::Sync(true)]) {
            let before = course.state.clone();
            let Some(outcome) = course.happen(event) else { continue };
            // A sync that read only what changed believes of the rest what it was told before.
            let told_all = matches!(event, Event::Sync(true));
            for change in &outcome.changes {
                if let ChangeKind::Left { cause } = &change.kind
                    && (told_all || !matches!(cause, Cause::NotTaken | Cause::LeftSchool { .. } | Cause::NotYetHere { .. }))
                {
                    prop_assert!(
                        is_true(&course, &before, &outcome.state, change, cause),
                        "{cause:?} is not so: {change:?}"
                    );
                }
            }
        }
    }

    /// With the guard on its post: nobody leaves a group that is held without a cause of their own, and nobody is ever
    /// in two groups of a kind.
    #[test]
    fn held_groups_stay_and_nobody_is_in_two(events in proptest::collection::vec(any_event(true), 1..60)) {
        let mut course = Course::new(Guard { max_shrink: 30, at_least: 2 });
        for event in &events {
            let before = course.state.clone();
            let Some(outcome) = course.happen(event) else { continue };
            for held in &outcome.report.held {
                if let HeldBack::Group { group, .. } = held {
                    let now = &outcome.state.lists[group].members;
                    for key in before.lists[group].members.keys() {
                        let accounted = outcome.changes.iter().any(|change| {
                            change.group == *group && change.person == *key
                                && matches!(&change.kind, ChangeKind::Left { cause } if cause.accounts())
                        });
                        prop_assert!(accounted || now.contains_key(key), "{key} left {group}, which is held");
                    }
                }
            }
            let mut seen = BTreeSet::new();
            for list in outcome.state.lists.values() {
                for key in list.members.keys() {
                    prop_assert!(seen.insert((list.kind, key.clone())), "{key} is in two groups");
                }
            }
        }
    }

    /// What is stored is read back as it was.
    #[test]
    fn the_state_survives_storage(events in proptest::collection::vec(any_event(true), 1..20)) {
        let mut course = Course::new(Guard::default());
        for event in &events {
            course.happen(event);
        }
        let stored = serde_json::to_string(&course.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<RosterState>(&stored).unwrap(), course.state);
    }
}
