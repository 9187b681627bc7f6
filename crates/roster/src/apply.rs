//! Applies answers to a state and returns the new state and the changes. The guard holds implausible removals back.
//! Pure functions: the day and the time are arguments.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::Days;
use mis_core::{Person, PersonKind};

use crate::{
    answer::{Answer, Answers, Extent},
    change::{Change, ChangeKind},
    held::{HeldBack, HoldReason},
    identity::{Merged, PersonKey},
    migration::{compare, most_are_new},
    publish::{Computed, Past, Publish},
    record_set::{MergePolicy, RecordSet},
    report::{OnePerson, SyncReport, Unread},
    settings::Settings,
    split::{Child, Individual, split},
    state::{KindState, RosterState, speaks},
    stay::{DecidedDates, on_roll, stay},
    when::SyncTime,
};

/// The result of applying answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncOutcome {
    /// The new state.
    pub state: RosterState,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// A report for people.
    pub report: SyncReport,
}

impl RosterState {
    /// Applies answers. Without answers, only the date matters: joiners join and leavers leave.
    ///
    /// With `accept`, an operator has approved everything that was held back. This requires full answers, because
    /// incremental answers do not repeat what was held back.
    pub fn apply(
        &self,
        settings: &Settings,
        answers: &Answers,
        when: SyncTime,
        accept: bool,
    ) -> SyncOutcome {
        let mut applying = Applying {
            before: self,
            settings,
            when,
            accept,
            state: self.clone(),
            report: SyncReport::default(),
            changes: Vec::new(),
            merged: BTreeMap::new(),
            emptied: BTreeSet::new(),
        };
        applying.forget_what_nobody_needs();
        let migrating = applying.migrating(answers);
        for (kind, answer) in answers {
            match answer {
                Ok(answer) => {
                    let others_came = answers.iter().any(|(other, answer)| {
                        other != kind && answer.as_ref().is_ok_and(|answer| !answer.rows.is_empty())
                    });
                    let merged = if migrating.contains(kind) {
                        applying.migrate(*kind, answer)
                    } else {
                        Some(answer.clone())
                    };
                    if let Some(answer) = merged {
                        applying.merge(*kind, &answer, others_came);
                    }
                }
                Err(unreadable) => applying.doubt(
                    *kind,
                    HoldReason::Unreadable {
                        why: unreadable.why.clone(),
                    },
                ),
            }
        }
        applying.forget_the_long_gone();
        applying.publish_all(answers);
        applying.finish()
    }
}

struct Applying<'a> {
    before: &'a RosterState,
    settings: &'a Settings,
    when: SyncTime,
    accept: bool,
    state: RosterState,
    report: SyncReport,
    changes: Vec<Change>,
    merged: BTreeMap<PersonKind, Merged>,
    /// Kinds that are confirmed to be empty.
    emptied: BTreeSet<PersonKind>,
}

impl Applying<'_> {
    /// Removes kinds and properties that the settings no longer name.
    fn forget_what_nobody_needs(&mut self) {
        let needs = self.settings.needs();
        self.state.kinds.retain(|kind, _| needs.contains_key(kind));
        for (kind, known) in &mut self.state.kinds {
            let Some(wanted) = needs.get(kind) else {
                continue;
            };
            if known.properties.is_subset(wanted) && known.refused.is_subset(wanted) {
                continue;
            }
            known
                .properties
                .retain(|property| wanted.contains(property));
            known.refused.retain(|property| wanted.contains(property));
            let mut roll = RecordSet::default();
            for record in known.records.iter() {
                roll.insert(record.clone().trimmed(wanted));
            }
            known.records = roll;
        }
    }

    /// The kinds of people whose ids are new because the school changed its MIS. If most ids of one kind are new, this
    /// applies to all kinds with missing people.
    fn migrating(&self, answers: &Answers) -> BTreeSet<PersonKind> {
        let full = |kind: &PersonKind| match answers.get(kind) {
            Some(Ok(
                answer @ Answer {
                    extent: Extent::Full { .. },
                    ..
                },
            )) => Some(answer),
            _ => None,
        };
        let most_new = |kind: &&PersonKind, least: usize| {
            let Some((known, answer)) = self.state.kinds.get(kind).zip(full(kind)) else {
                return false;
            };
            known.full_at.is_some() && most_are_new(known, &answer.rows, least, self.when.today)
        };
        let least = usize::try_from(self.settings.guard.at_least).unwrap_or(usize::MAX);
        let pending = self.state.kinds.values().any(|known| known.migrating);
        if !pending && !answers.keys().any(|kind| most_new(&kind, least)) {
            return BTreeSet::new();
        }
        answers
            .keys()
            .filter(|kind| {
                let waits = |known: &KindState| known.migrating;
                let waits = self.state.kinds.get(kind).is_some_and(waits);
                (waits && full(kind).is_some()) || most_new(kind, 1)
            })
            .copied()
            .collect()
    }

    /// Matches people to the new ids. Without approval, certain matches continue under their new ids, and all others
    /// neither join nor leave. Returns the answers that remain to be merged.
    fn migrate(&mut self, kind: PersonKind, answer: &Answer) -> Option<Answer> {
        let known = self.state.kinds.entry(kind).or_default();
        let migration = compare(kind, known, answer, self.when.today);
        let waits = !self.accept && migration.needs_a_person();
        known.keys.migrate(&migration, &answer.rows, self.accept);
        known.migrating = waits;
        let mut merged = answer.clone();
        if waits {
            self.report.held.push(HeldBack::Migration {
                kind,
                matched: migration.matched.len(),
                proposed: migration.proposed.len(),
                doubtful: migration.doubtful.len(),
                new: migration.new.len(),
                missing: migration.missing.len(),
            });
            let certain = migration.certain();
            let found: BTreeSet<&PersonKey> =
                migration.matched.iter().map(|one| &one.person).collect();
            let replaced: HashSet<&str> = known
                .keys
                .iter()
                .filter(|(key, _)| found.contains(key))
                .flat_map(|(_, one)| one.ids.iter().map(String::as_str))
                .collect();
            merged.rows.retain(|row| certain.contains(row.id.as_str()));
            let kept = known
                .records
                .iter()
                .filter(|old| !replaced.contains(old.id.as_str()));
            merged.rows.extend(kept.cloned());
            merged.extent = Extent::Full { counted: None };
        }
        // Only students can be matched with certainty: other groups stay unchanged until an operator approves.
        let merged = (!waits || kind == PersonKind::Student).then_some(merged);
        self.report.migrations.push(migration);
        merged
    }

    fn merge(&mut self, kind: PersonKind, answer: &Answer, others_came: bool) {
        let unread = answer.issues.iter().map(|issue| Unread {
            kind,
            issue: issue.clone(),
        });
        self.report.unread.extend(unread);
        self.report.pre_admission_refused |= answer.pre_admission == Some(false);
        let known = self.state.kinds.entry(kind).or_default();
        let policy = MergePolicy {
            kind,
            guard: &self.settings.guard,
            max_unread: self.settings.persons.max_unread,
            today: self.when.today,
            accept: self.accept,
            known,
            others_came,
        };
        let merged = known.records.merge(answer, &policy);
        known.records = merged.records;
        known.left = merged.left;
        known.empty_since = merged.empty_since;
        if !merged.refused {
            known.lost = merged.lost;
        }
        if merged.emptied {
            self.emptied.insert(kind);
        }
        // Answers that were held back are read again from the same starting time.
        let Some(doubt) = merged.doubt else {
            known.asked_at = Some(answer.asked_at);
            if matches!(answer.extent, Extent::Full { .. }) {
                known.full_at = Some(answer.asked_at);
                known.properties.clone_from(&answer.properties);
                known.refused.clone_from(&answer.refused);
                known.count_fitted = merged.count_fits.unwrap_or(false);
            }
            return;
        };
        self.doubt(kind, doubt);
    }

    fn doubt(&mut self, kind: PersonKind, doubt: HoldReason) {
        self.report.held.push(HeldBack::Kind { kind, doubt });
    }

    /// Removes records of those who left long ago, whether the MIS still lists them or not.
    fn forget_the_long_gone(&mut self) {
        let keep = Days::new(u64::from(self.settings.keep.former_days));
        let Some(horizon) = self.when.today.checked_sub_days(keep) else {
            return;
        };
        let today = self.when.today;
        for known in self.state.kinds.values_mut() {
            known.records.retain(|record| {
                let last = stay(record, today).leaves;
                last.is_none_or(|last| last >= horizon)
            });
        }
        self.state.former.retain(|former| former.left >= horizon);
    }

    /// Assigns keys, splits people among the groups and creates the changes. Students come first, because the groups of
    /// parents depend on them.
    fn publish_all(&mut self, answers: &Answers) {
        self.remove_groups();
        let kinds = std::mem::take(&mut self.state.kinds);
        let mut after = BTreeMap::new();
        let mut students: BTreeMap<PersonKey, Person> = BTreeMap::new();
        for (kind, mut known) in kinds {
            let same_parent = kind == PersonKind::Parent && self.settings.persons.same_parent;
            let (people, merged, one_person) =
                known
                    .keys
                    .assign(known.records.iter(), self.when.today, same_parent);
            self.report
                .one_person
                .extend(one_person.into_iter().map(|(person, records)| OnePerson {
                    kind,
                    person,
                    records,
                }));
            let speaking: BTreeMap<PersonKey, (Person, Vec<String>)> = people
                .into_iter()
                .filter_map(|(key, records)| {
                    let ids = records.iter().map(|record| record.id.clone()).collect();
                    let record = speaks(records, self.when.today)?.clone();
                    Some((key, (record, ids)))
                })
                .collect();
            self.merged.insert(kind, merged);
            let former = self
                .settings
                .persons
                .former_id_days
                .map(u64::from)
                .map(Days::new);
            if let Some(horizon) = former.and_then(|days| self.when.today.checked_sub_days(days)) {
                known.keys.forget_former_ids(horizon);
            }
            let waits = known.migrating && kind != PersonKind::Student;
            if known.full_at.is_some() && !waits {
                self.publish(kind, &known, &speaking, &students, answers);
            }
            if kind == PersonKind::Student {
                students = speaking
                    .into_iter()
                    .map(|(key, (record, _))| (key, record))
                    .collect();
            }
            after.insert(kind, known);
        }
        self.state.kinds = after;
        self.forget_keys();
    }

    fn publish(
        &mut self,
        kind: PersonKind,
        known: &KindState,
        speaking: &BTreeMap<PersonKey, (Person, Vec<String>)>,
        students: &BTreeMap<PersonKey, Person>,
        answers: &Answers,
    ) {
        let student_groups = self.student_groups();
        let students_accounted = self.students_accounted();
        let families = self.families(kind, students, &student_groups);
        let unknown = crate::identity::Identity::default();
        let people: BTreeMap<&PersonKey, Individual<'_>> = speaking
            .iter()
            .map(|(key, (record, ids))| {
                let children = ids
                    .iter()
                    .flat_map(|id| families.get(id.as_str()).into_iter().flatten())
                    .map(|family| Child {
                        key: family.student,
                        group: family.group,
                        relation: family.relation,
                    })
                    .collect();
                let individual = Individual {
                    identity: known.keys.get(key).unwrap_or(&unknown),
                    record,
                    children,
                };
                (key, individual)
            })
            .collect();
        let individuals = people.iter().map(|(key, person)| (*key, person));
        let split = split(kind, &self.settings.groups, individuals, self.when.today);
        self.report.ungrouped.extend(split.ungrouped);
        self.report.overlaps.extend(split.overlaps);
        let decided = speaking.iter().filter_map(|(person, (record, _))| {
            let decision = stay(record, self.when.today).decided?;
            Some(DecidedDates {
                kind,
                person: person.clone(),
                decision,
            })
        });
        self.report.dates.extend(decided);
        let computed = Computed::new(self.settings, kind, &split.taken, &people);
        let empty = RecordSet::default();
        let none = Merged::new();
        let past = Past {
            records: self
                .before
                .kinds
                .get(&kind)
                .map_or(&empty, |known| &known.records),
            students: self
                .before
                .kinds
                .get(&PersonKind::Student)
                .map_or(&empty, |known| &known.records),
            student_keys: self
                .before
                .kinds
                .get(&PersonKind::Student)
                .map(|known| &known.keys),
            students_now: students,
            student_groups: &student_groups,
            students_accounted: &students_accounted,
            merged: self.merged.get(&kind).unwrap_or(&none),
            deletions: match answers.get(&kind) {
                Some(Ok(Answer {
                    extent: Extent::Changes { deletions, .. },
                    ..
                })) => deletions,
                _ => &[],
            },
        };
        Publish {
            settings: self.settings,
            kind,
            when: self.when,
            accept: self.accept || self.emptied.contains(&kind),
            keys: &known.keys,
            people: &people,
            past,
            computed,
        }
        .run(&mut self.state, &mut self.changes, &mut self.report);
        self.report_lost(kind, known);
    }

    fn report_lost(&mut self, kind: PersonKind, known: &KindState) {
        let lost = known
            .lost
            .iter()
            .map(|part| HeldBack::Property { kind, part: *part });
        self.report.held.extend(lost);
        let refused = known.refused.iter().map(|property| (kind, *property));
        self.report.refused.extend(refused);
    }

    /// The groups that students are in.
    fn student_groups(&self) -> BTreeMap<PersonKey, String> {
        self.state
            .lists
            .iter()
            .filter(|(_, list)| list.kind == PersonKind::Student)
            .flat_map(|(name, list)| {
                list.members
                    .keys()
                    .map(move |key| (key.clone(), name.clone()))
            })
            .collect()
    }

    /// Students who just left their group for an accounted cause.
    fn students_accounted(&self) -> BTreeSet<PersonKey> {
        let of_students = |group: &str| {
            self.settings
                .group(group)
                .is_some_and(|group| group.kind == PersonKind::Student)
        };
        self.changes
            .iter()
            .filter(|change| matches!(&change.kind, ChangeKind::Left { cause } if cause.accounts()))
            .filter(|change| of_students(&change.group))
            .map(|change| change.person.clone())
            .collect()
    }

    /// For each contact, their students on roll.
    fn families<'s>(
        &self,
        kind: PersonKind,
        students: &'s BTreeMap<PersonKey, Person>,
        groups: &'s BTreeMap<PersonKey, String>,
    ) -> HashMap<&'s str, Vec<Family<'s>>> {
        let mut families: HashMap<&str, Vec<Family<'_>>> = HashMap::new();
        if kind != PersonKind::Parent {
            return families;
        }
        for (student, record) in students {
            if !on_roll(record, self.when.today) {
                continue;
            }
            for relation in &record.contacts {
                families.entry(&relation.contact).or_default().push(Family {
                    student,
                    group: groups.get(student).map(String::as_str),
                    relation,
                });
            }
        }
        families
    }

    /// Removes groups that are no longer in the settings or have another kind of people.
    fn remove_groups(&mut self) {
        let stays = |name: &String, kind| {
            self.settings
                .group(name)
                .is_some_and(|group| group.kind == kind)
        };
        let removed: Vec<String> = self
            .state
            .lists
            .iter()
            .filter(|(name, list)| !stays(name, list.kind))
            .map(|(name, _)| name.clone())
            .collect();
        for name in removed {
            crate::publish::remove(&mut self.state, &mut self.changes, &name, self.when);
        }
    }

    /// Removes keys of people who left long ago.
    fn forget_keys(&mut self) {
        let keep = Days::new(u64::from(self.settings.keep.former_days));
        let Some(horizon) = self.when.today.checked_sub_days(keep) else {
            return;
        };
        let mut kept: BTreeSet<(PersonKind, &PersonKey)> = BTreeSet::new();
        for list in self.state.lists.values() {
            kept.extend(list.members.keys().map(|key| (list.kind, key)));
        }
        for (kind, known) in &mut self.state.kinds {
            known
                .keys
                .forget(horizon, |key| kept.contains(&(*kind, key)));
        }
    }

    fn finish(mut self) -> SyncOutcome {
        for (kind, known) in &self.state.kinds {
            self.report.records.insert(*kind, known.records.len());
        }
        for (name, list) in &self.state.lists {
            self.report.groups.entry(name.clone()).or_default().people = list.members.len();
        }
        self.report.count(&self.changes);
        SyncOutcome {
            state: self.state,
            changes: self.changes,
            report: self.report,
        }
    }
}

/// A contact's student and the student's group.
struct Family<'s> {
    student: &'s PersonKey,
    group: Option<&'s str>,
    relation: &'s mis_core::Relation,
}
