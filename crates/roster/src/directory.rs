//! The directory: finds a person by any id, with their group and their current id at Wonde.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use mis_core::{PersonKind, Property};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    identity::PersonKey,
    state::{RosterState, speaks},
    stay::on_roll,
};

/// A kind of id.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum IdKind {
    /// Wonde's id, current or former; the groups use it.
    Id,
    /// The permanent id of a person (UPI).
    Upi,
    /// The MIS's own key.
    MisId,
    /// A student's unique pupil number.
    Upn,
    /// The school's own number for a student.
    AdmissionNumber,
    /// The number of a student's card.
    Card,
}

impl IdKind {
    /// The ids accepted in events by default.
    pub const DEFAULT: [Self; 2] = [Self::Id, Self::Upi];

    /// The name in settings and records.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The property that must be read for it, if it is not always read.
    pub fn property(self) -> Option<Property> {
        match self {
            Self::Id | Self::Upi | Self::MisId | Self::Upn => None,
            Self::AdmissionNumber => Some(Property::AdmissionNumber),
            Self::Card => Some(Property::Card),
        }
    }
}

/// Finds a school's people by any current or former id.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    people: Vec<Entry>,
    by_id: HashMap<String, Vec<(IdKind, usize)>>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id at the host.
    pub key: PersonKey,
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The current id at Wonde, which marks use.
    pub id: String,
    /// The person's group; `None` if no group takes them, they left, or they are yet to start.
    pub group: Option<String>,
}

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonMatch<'d> {
    /// Nobody.
    Nobody,
    /// This person.
    One(&'d Entry),
    /// Several people: ids are unique only within one kind of people, and a number can occur twice.
    Several(Vec<&'d Entry>),
}

impl<'d> PersonMatch<'d> {
    /// The person, if there is exactly one.
    pub fn one(self) -> Option<&'d Entry> {
        match self {
            Self::One(entry) => Some(entry),
            Self::Nobody | Self::Several(_) => None,
        }
    }
}

impl Directory {
    /// Builds the directory of a school for a day. If two people of one kind share an id at Wonde, it belongs to the
    /// one whose key it is, otherwise to the one whose current id it is.
    pub fn new(state: &RosterState, today: NaiveDate) -> Self {
        let mut directory = Self::default();
        for (kind, known) in &state.kinds {
            let groups: HashMap<&PersonKey, &str> = state
                .lists
                .iter()
                .filter(|(_, list)| list.kind == *kind)
                .flat_map(|(name, list)| list.members.keys().map(move |key| (key, name.as_str())))
                .collect();
            let first = directory.people.len();
            let mut former = Vec::new();
            let mut others = BTreeSet::new();
            for (key, identity) in known.keys.iter() {
                let records: Vec<_> = identity
                    .ids
                    .iter()
                    .filter_map(|id| known.records.get(id))
                    .collect();
                let speaking = speaks(records.iter().copied(), today);
                // Registers do not include those yet to start.
                let starts_later =
                    speaking.is_some_and(|record| record.pre_admission && !on_roll(record, today));
                let group = groups.get(key).copied().filter(|_| !starts_later);
                let present = speaking.map(|record| record.id.clone());
                let listed = || {
                    let member = state.lists.get(group?)?.members.get(key)?;
                    Some(member.person.id.clone())
                };
                let place = directory.people.len();
                directory.people.push(Entry {
                    key: key.clone(),
                    kind: *kind,
                    id: present.or_else(listed).unwrap_or_else(|| key.to_string()),
                    group: group.map(str::to_owned),
                });
                former.extend(identity.ids.iter().map(|id| (id.clone(), place)));
                let lasting = [
                    (IdKind::Upi, &identity.upis),
                    (IdKind::MisId, &identity.mis_ids),
                    (IdKind::Upn, &identity.upns),
                ];
                for (sort, ids) in lasting {
                    others.extend(ids.iter().map(|id| (sort, id.clone(), place)));
                }
                for record in records {
                    let numbers = [
                        (IdKind::AdmissionNumber, &record.admission_number),
                        (IdKind::Card, &record.card),
                    ];
                    for (sort, number) in numbers {
                        others.extend(number.iter().map(|number| (sort, number.clone(), place)));
                    }
                }
            }
            let people = directory.people.iter().enumerate().skip(first);
            let keys = people
                .clone()
                .map(|(place, one)| (one.key.to_string(), place));
            let present = people.map(|(place, one)| (one.id.clone(), place));
            let mut owners: HashMap<String, usize> = HashMap::new();
            for (id, place) in keys.chain(present).chain(former) {
                owners.entry(id).or_insert(place);
            }
            let own = owners
                .into_iter()
                .map(|(id, place)| (IdKind::Id, id, place));
            for (sort, id, place) in own.chain(others) {
                directory.by_id.entry(id).or_default().push((sort, place));
            }
        }
        directory
    }

    /// Builds a directory from the output of [`Directory::ids`], or a part of it. What is given twice counts once.
    pub fn from_ids(ids: impl IntoIterator<Item = (IdKind, String, Entry)>) -> Self {
        let mut directory = Self::default();
        let mut places: HashMap<(PersonKind, PersonKey), usize> = HashMap::new();
        for (sort, id, entry) in ids {
            let place = *places
                .entry((entry.kind, entry.key.clone()))
                .or_insert_with(|| {
                    directory.people.push(entry);
                    directory.people.len() - 1
                });
            let owners = directory.by_id.entry(id).or_default();
            if !owners.contains(&(sort, place)) {
                owners.push((sort, place));
            }
        }
        directory
    }

    /// All ids with their kinds and people, unordered.
    pub fn ids(&self) -> impl Iterator<Item = (IdKind, &str, &Entry)> {
        self.by_id.iter().flat_map(|(id, places)| {
            places
                .iter()
                .filter_map(|(sort, place)| Some((*sort, id.as_str(), self.people.get(*place)?)))
        })
    }

    /// Finds a person by an id at Wonde. Returns `None` if it belongs to several people.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.lookup(id, &[IdKind::Id], None).one()
    }

    /// Finds people by an id of one of these kinds; the first kind with a match counts. With `kind`, only people of
    /// that kind are considered.
    pub fn lookup(&self, id: &str, by: &[IdKind], kind: Option<PersonKind>) -> PersonMatch<'_> {
        let Some(places) = self.by_id.get(id) else {
            return PersonMatch::Nobody;
        };
        for sort in by {
            let mut found: Vec<&Entry> = places
                .iter()
                .filter(|(of, _)| of == sort)
                .filter_map(|(_, place)| self.people.get(*place))
                .filter(|entry| kind.is_none_or(|kind| entry.kind == kind))
                .collect();
            match (found.pop(), found.is_empty()) {
                (None, _) => {}
                (Some(one), true) => return PersonMatch::One(one),
                (Some(one), false) => {
                    found.push(one);
                    found.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
                    return PersonMatch::Several(found);
                }
            }
        }
        PersonMatch::Nobody
    }

    /// All people, unordered.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.people.iter()
    }

    /// The number of people.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}
