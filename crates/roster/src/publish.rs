//! Publishes the groups of one kind of people: all changes of a group or none.

use std::collections::{BTreeMap, BTreeSet};

use mis_core::{Deletion, Person, PersonKind};

use crate::{
    change::{Cause, Change, ChangeKind},
    held::HeldBack,
    identity::{IdentityMap, Merged, PersonKey},
    member::{Former, List, Member},
    record_set::RecordSet,
    report::SyncReport,
    settings::Settings,
    split::{Individual, Rule},
    state::{RosterState, speaks},
    stay::{has_left, on_roll},
    when::SyncTime,
};

/// The members that each group would have.
pub(crate) struct Computed {
    lists: BTreeMap<String, BTreeMap<PersonKey, Member>>,
    group_of: BTreeMap<PersonKey, String>,
}

impl Computed {
    pub(crate) fn new(
        settings: &Settings,
        kind: PersonKind,
        taken: &BTreeMap<String, Vec<PersonKey>>,
        people: &BTreeMap<&PersonKey, Individual<'_>>,
    ) -> Self {
        let mut computed = Self {
            lists: BTreeMap::new(),
            group_of: BTreeMap::new(),
        };
        for group in settings.groups.iter().filter(|group| group.kind == kind) {
            let list = computed.lists.entry(group.name.clone()).or_default();
            for key in taken.get(&group.name).into_iter().flatten() {
                let Some(person) = people.get(key) else {
                    continue;
                };
                if let Some(member) = member(settings, &group.name, key, person) {
                    list.insert(key.clone(), member);
                    computed.group_of.insert(key.clone(), group.name.clone());
                }
            }
        }
        computed
    }
}

/// What was known before, for telling why somebody left.
pub(crate) struct Past<'a> {
    pub(crate) records: &'a RecordSet,
    pub(crate) students: &'a RecordSet,
    pub(crate) student_keys: Option<&'a IdentityMap>,
    pub(crate) students_now: &'a BTreeMap<PersonKey, Person>,
    /// The groups that students are in now.
    pub(crate) student_groups: &'a BTreeMap<PersonKey, String>,
    /// Students who just left their group for an accounted cause.
    pub(crate) students_accounted: &'a BTreeSet<PersonKey>,
    pub(crate) merged: &'a Merged,
    pub(crate) deletions: &'a [Deletion],
}

/// The groups of one kind of people during publication.
pub(crate) struct Publish<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) kind: PersonKind,
    pub(crate) when: SyncTime,
    pub(crate) accept: bool,
    pub(crate) keys: &'a IdentityMap,
    pub(crate) people: &'a BTreeMap<&'a PersonKey, Individual<'a>>,
    pub(crate) past: Past<'a>,
    pub(crate) computed: Computed,
}

impl Publish<'_> {
    pub(crate) fn run(
        mut self,
        state: &mut RosterState,
        changes: &mut Vec<Change>,
        report: &mut SyncReport,
    ) {
        for (name, kept) in self.held(state, report) {
            let list = self.computed.lists.entry(name).or_default();
            list.extend(kept.into_iter().map(|member| (member.key.clone(), member)));
        }
        for (name, list) in std::mem::take(&mut self.computed.lists) {
            self.replace(state, changes, &name, list);
        }
    }

    /// Groups that too many would leave, with those who stay in them because of it: all who would leave without an
    /// accounted cause. They are in no other group.
    fn held(&self, state: &RosterState, report: &mut SyncReport) -> BTreeMap<String, Vec<Member>> {
        let mut held = BTreeMap::new();
        for (name, new) in &self.computed.lists {
            let Some(old) = state.lists.get(name) else {
                continue;
            };
            let leaving: Vec<&Member> = old
                .members
                .values()
                .filter(|member| !new.contains_key(&member.key))
                .filter(|member| !self.cause(name, member).accounts())
                .collect();
            if self.accept
                || self
                    .settings
                    .guard
                    .allows(old.members.len(), new.len(), leaving.len())
            {
                continue;
            }
            report.held.push(HeldBack::Group {
                group: name.clone(),
                before: old.members.len(),
                leaving: leaving.len(),
                after: new.len(),
            });
            let kept = leaving.into_iter().map(|old| self.kept(name, old));
            held.insert(name.clone(), kept.collect());
        }
        held
    }

    /// A member who stays in a held back group, with current data.
    fn kept(&self, group: &str, old: &Member) -> Member {
        let person = self.people.get(&old.key);
        match person.and_then(|person| member(self.settings, group, &old.key, person)) {
            Some(now) => Member {
                children: old.children.clone(),
                ..now
            },
            None => old.clone(),
        }
    }

    fn replace(
        &self,
        state: &mut RosterState,
        changes: &mut Vec<Change>,
        name: &str,
        new: BTreeMap<PersonKey, Member>,
    ) {
        let old = state
            .lists
            .remove(name)
            .map(|list| list.members)
            .unwrap_or_default();
        for member in old.values().filter(|member| !new.contains_key(&member.key)) {
            let cause = self.cause(name, member);
            leave(state, changes, name, member, cause, self.when);
        }
        for member in new.values() {
            let what = match old.get(&member.key) {
                None => ChangeKind::Joined {
                    member: Box::new(member.clone()),
                },
                Some(before) if before != member => ChangeKind::Changed {
                    fields: before.differs(member),
                    member: Box::new(member.clone()),
                },
                Some(_) => continue,
            };
            if matches!(what, ChangeKind::Joined { .. }) {
                state
                    .former
                    .retain(|former| former.group != name || former.member.key != member.key);
            }
            tell(state, changes, name, &member.key, what, self.when);
        }
        let list = List {
            kind: self.kind,
            members: new,
        };
        state.lists.insert(name.to_owned(), list);
    }

    /// Why somebody is no longer in the group.
    fn cause(&self, group: &str, member: &Member) -> Cause {
        let key = &member.key;
        let today = self.when.today;
        if let Some(into) = self.past.merged.get(key) {
            return Cause::Merged { into: into.clone() };
        }
        if let Some(to) = self.computed.group_of.get(key) {
            return Cause::Moved { to: to.clone() };
        }
        if let Some(cause) = self.cause_by_children(group, member) {
            return cause;
        }
        let Some(person) = self.people.get(key) else {
            return self.cause_of_absence(key);
        };
        match (person.record.leaves, person.record.joins) {
            (Some(on), _) if has_left(person.record, today) => Cause::LeftSchool { on },
            (_, Some(from)) if !on_roll(person.record, today) => Cause::NotYetHere { from },
            _ if self.excluded(group, person) => Cause::Excluded,
            _ => Cause::NotTaken,
        }
    }

    fn excluded(&self, group: &str, person: &Individual<'_>) -> bool {
        let Some(group) = self.settings.group(group) else {
            return false;
        };
        let mut without = group.membership.clone();
        without.exclude.clear();
        !group.membership.exclude.is_empty() && Rule::new(&without).takes(person, self.when.today)
    }

    /// The reason for a person without a record.
    fn cause_of_absence(&self, key: &PersonKey) -> Cause {
        let Some(identity) = self.keys.get(key) else {
            return Cause::Gone;
        };
        let records = identity
            .ids
            .iter()
            .filter_map(|id| self.past.records.get(id));
        if let Some(record) = speaks(records, self.when.today)
            && let Some(on) = record.leaves
            && has_left(record, self.when.today)
        {
            return Cause::LeftSchool { on };
        }
        let deleted = self
            .past
            .deletions
            .iter()
            .any(|deletion| deletion.gone && identity.ids.contains(&deletion.id));
        if deleted { Cause::Deleted } else { Cause::Gone }
    }

    /// For a parent: whether all their students have left or moved for an accounted cause.
    fn cause_by_children(&self, group: &str, member: &Member) -> Option<Cause> {
        let of = &self.settings.group(group)?.membership.of;
        let left = |child: &PersonKey| self.student_left(child);
        let moved = |child: &PersonKey| {
            let elsewhere = |now: &String| !of.is_empty() && !of.contains(now);
            self.past.students_accounted.contains(child)
                || self.past.student_groups.get(child).is_some_and(elsewhere)
        };
        let children = &member.children;
        if children.is_empty() {
            None
        } else if children.iter().all(left) {
            Some(Cause::ChildrenLeft)
        } else if children.iter().all(|child| left(child) || moved(child)) {
            Some(Cause::ChildrenMoved)
        } else if children
            .iter()
            .all(|child| !self.past.students_now.contains_key(child))
        {
            Some(Cause::ChildrenGone)
        } else {
            None
        }
    }

    /// The student's last day has passed.
    fn student_left(&self, student: &PersonKey) -> bool {
        let today = self.when.today;
        if let Some(record) = self.past.students_now.get(student) {
            return has_left(record, today);
        }
        let identity = self.past.student_keys.and_then(|keys| keys.get(student));
        let ids = identity.into_iter().flat_map(|identity| &identity.ids);
        speaks(ids.filter_map(|id| self.past.students.get(id)), today)
            .is_some_and(|record| has_left(record, today))
    }
}

/// Creates a member from a person.
fn member(
    settings: &Settings,
    group: &str,
    key: &PersonKey,
    person: &Individual<'_>,
) -> Option<Member> {
    let group = settings.group(group)?;
    let told = group.membership.told(group.kind);
    let rule = Rule::new(&group.membership);
    let children = person
        .children
        .iter()
        .filter(|child| rule.child_fits(child))
        .map(|child| child.key.clone())
        .collect();
    Some(Member::new(key, person.record, &told, children))
}

/// Removes a whole group.
pub(crate) fn remove(
    state: &mut RosterState,
    changes: &mut Vec<Change>,
    name: &str,
    when: SyncTime,
) {
    for member in state
        .lists
        .remove(name)
        .into_iter()
        .flat_map(|list| list.members.into_values())
    {
        leave(state, changes, name, &member, Cause::GroupRemoved, when);
    }
}

fn leave(
    state: &mut RosterState,
    changes: &mut Vec<Change>,
    group: &str,
    member: &Member,
    cause: Cause,
    when: SyncTime,
) {
    state
        .former
        .retain(|former| former.group != group || former.member.key != member.key);
    state.former.push(Former {
        group: group.to_owned(),
        left: when.today,
        member: member.clone(),
    });
    tell(
        state,
        changes,
        group,
        &member.key,
        ChangeKind::Left { cause },
        when,
    );
}

fn tell(
    state: &mut RosterState,
    changes: &mut Vec<Change>,
    group: &str,
    person: &PersonKey,
    what: ChangeKind,
    when: SyncTime,
) {
    state.seq += 1;
    changes.push(Change {
        seq: state.seq,
        at: when.now,
        group: group.to_owned(),
        person: person.clone(),
        kind: what,
    });
}
