//! The split: assigns people to groups, and reports people in no group or in several.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use mis_core::{Person, PersonKind, Relation, same_text};
use serde::{Deserialize, Serialize};

use crate::{
    identity::{Identity, PersonKey},
    settings::{GroupName, GroupSettings, Membership},
    stay::{has_left, on_roll},
    words::{among, plain},
    year::Year,
};

/// One person as the split sees them.
pub(crate) struct Individual<'r> {
    pub(crate) identity: &'r Identity,
    /// The record that applies today.
    pub(crate) record: &'r Person,
    /// For a parent: the relation to each student of the school.
    pub(crate) children: Vec<Child<'r>>,
}

/// A student of a parent.
pub(crate) struct Child<'r> {
    pub(crate) key: &'r PersonKey,
    /// The group the student is in, if any.
    pub(crate) group: Option<&'r str>,
    pub(crate) relation: &'r Relation,
}

/// The members of all groups of one kind.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// The groups by name, each with its people.
    pub(crate) taken: BTreeMap<String, Vec<PersonKey>>,
    pub(crate) ungrouped: Vec<Ungrouped>,
    pub(crate) overlaps: Vec<Overlap>,
}

/// A person in no group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ungrouped {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Who.
    pub person: PersonKey,
}

/// A person who meets the conditions of several groups. A group without conditions does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overlap {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Who.
    pub person: PersonKey,
    /// The group they are in: the first.
    pub group: String,
    /// The other matching groups.
    pub also: Vec<String>,
}

/// Splits the people of a kind among its groups.
pub(crate) fn split<'r>(
    kind: PersonKind,
    groups: &[GroupSettings],
    people: impl IntoIterator<Item = (&'r PersonKey, &'r Individual<'r>)>,
    today: NaiveDate,
) -> Split {
    let groups: Vec<_> = groups
        .iter()
        .filter(|group| group.kind == kind)
        .map(|group| (group, Rule::new(&group.membership)))
        .collect();
    let mut split = Split::default();
    for (group, _) in &groups {
        split.taken.entry(group.name.clone()).or_default();
    }
    for (key, person) in people {
        let mut takers = groups
            .iter()
            .filter(|(_, rule)| rule.takes(person, today))
            .map(|(group, _)| *group);
        let Some(first) = takers.next() else {
            if belongs_somewhere(person, today) {
                split.ungrouped.push(Ungrouped {
                    kind,
                    person: key.clone(),
                });
            }
            continue;
        };
        let also: Vec<_> = takers
            .filter(|group| !group.membership.takes_all())
            .map(|group| group.name.clone())
            .collect();
        if !also.is_empty() {
            split.overlaps.push(Overlap {
                kind,
                person: key.clone(),
                group: first.name.clone(),
                also,
            });
        }
        if let Some(list) = split.taken.get_mut(&first.name) {
            list.push(key.clone());
        }
    }
    split
}

fn employed(record: &Person, today: NaiveDate) -> bool {
    record.current != Some(false) && on_roll(record, today)
}

/// Whether somebody should be in one of the groups: a student on roll, staff employed, a parent of a student on roll.
fn belongs_somewhere(person: &Individual<'_>, today: NaiveDate) -> bool {
    match person.record.kind {
        PersonKind::Student => on_roll(person.record, today),
        PersonKind::Staff => employed(person.record, today),
        PersonKind::Parent => !person.children.is_empty(),
    }
}

/// A compiled membership.
pub(crate) struct Rule<'s> {
    membership: &'s Membership,
    years: Vec<Year>,
}

impl<'s> Rule<'s> {
    pub(crate) fn new(membership: &'s Membership) -> Self {
        Self {
            membership,
            years: membership
                .years
                .iter()
                .filter_map(|year| Year::read(year))
                .collect(),
        }
    }

    pub(crate) fn takes(&self, person: &Individual<'_>, today: NaiveDate) -> bool {
        let named = |ids: &[String]| ids.iter().any(|id| person.identity.bears(id));
        if named(&self.membership.exclude) {
            return false;
        }
        if named(&self.membership.include) {
            return person.record.kind == PersonKind::Parent || self.is_there(person.record, today);
        }
        !self.membership.takes_named_only() && self.conditions_hold(person, today)
    }

    fn conditions_hold(&self, person: &Individual<'_>, today: NaiveDate) -> bool {
        let (record, rules) = (person.record, self.membership);
        match record.kind {
            PersonKind::Student => {
                self.is_there(record, today)
                    && self.year_fits(record)
                    && one_of(&rules.registrations, record.registration.as_deref())
                    && one_of(&rules.houses, record.house.as_deref())
                    && boards(&rules.boarding, record.boarding.as_deref())
                    && one_of(&rules.campuses, record.campus.as_deref())
                    && self.sorted_in(record)
            }
            PersonKind::Staff => {
                employed(record, today) == rules.current.unwrap_or(true)
                    && fits(rules.teaching, record.teaching)
                    && (rules.roles.is_empty()
                        || record.roles.iter().any(|role| among(role, &rules.roles)))
                    && self.sorted_in(record)
            }
            PersonKind::Parent => person.children.iter().any(|child| self.child_fits(child)),
        }
    }

    /// On roll, or yet to start if the group includes those.
    fn is_there(&self, record: &Person, today: NaiveDate) -> bool {
        let coming = self.membership.pre_admission == Some(true)
            && record.pre_admission
            && !has_left(record, today);
        coming || on_roll(record, today)
    }

    fn year_fits(&self, record: &Person) -> bool {
        self.membership.years.is_empty()
            || Year::of(record.year.as_deref(), record.year_code.as_deref())
                .is_some_and(|year| self.years.iter().any(|asked| year.is(asked)))
    }

    /// In one of the required classes and one of the required groups of the MIS.
    fn sorted_in(&self, record: &Person) -> bool {
        let rules = self.membership;
        let in_class = || {
            let mut names = record
                .classes
                .iter()
                .filter_map(|class| class.name.as_deref());
            names.any(|name| among(name, &rules.classes))
        };
        let in_group = || {
            let asked =
                |group: &mis_core::Group| rules.groups.iter().any(|name| is_named(group, name));
            record.groups.iter().any(asked)
        };
        (rules.classes.is_empty() || in_class()) && (rules.groups.is_empty() || in_group())
    }

    /// All conditions for a parent must hold for the same child.
    pub(crate) fn child_fits(&self, child: &Child<'_>) -> bool {
        let (rules, relation) = (self.membership, child.relation);
        (rules.of.is_empty()
            || child
                .group
                .is_some_and(|group| rules.of.iter().any(|of| same_text(of, group))))
            && fits(
                rules.parental_responsibility,
                relation.parental_responsibility,
            )
            && fits(rules.lives_with, relation.lives_with)
            && rules
                .priority_max
                .is_none_or(|max| relation.priority.is_some_and(|priority| priority <= max))
    }
}

/// An unknown value does not match.
fn fits(asked: Option<bool>, told: Option<bool>) -> bool {
    asked.is_none() || asked == told
}

fn one_of(asked: &[String], told: Option<&str>) -> bool {
    asked.is_empty() || told.is_some_and(|told| among(told, asked))
}

fn boards(asked: &[String], told: Option<&str>) -> bool {
    one_of(asked, told) || (told.is_some() && asked.iter().any(|word| word.trim() == "*"))
}

fn is_named(group: &mis_core::Group, name: &GroupName) -> bool {
    let same =
        |told: Option<&str>, asked: &str| told.is_some_and(|told| plain(told) == plain(asked));
    same(group.name.as_deref(), &name.name)
        && name
            .kind
            .as_deref()
            .is_none_or(|kind| same(group.kind.as_deref(), kind))
}
