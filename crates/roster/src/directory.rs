//! The directory: who an id belongs to, which group has them, and by which id Wonde knows them today.

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

/// What sort of id names a person.
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
pub enum IdKind {
    /// Wonde's id, present or former: the id of the groups.
    Id,
    /// The id that stays with a person.
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
    /// By what events name people unless the settings say otherwise.
    pub const DEFAULT: [Self; 2] = [Self::Id, Self::Upi];

    /// The name in settings and records.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What must be read of a person for it, besides what always is.
    pub fn property(self) -> Option<Property> {
        match self {
            Self::Id | Self::Upi | Self::MisId | Self::Upn => None,
            Self::AdmissionNumber => Some(Property::AdmissionNumber),
            Self::Card => Some(Property::Card),
        }
    }
}

/// Finds a school's people by any id they go by or went by.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    people: Vec<Entry>,
    by_id: HashMap<String, Vec<(IdKind, usize)>>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id the host knows them by.
    pub key: PersonKey,
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The id that Wonde knows them by today: what a mark must bear.
    pub id: String,
    /// The group that has them; none for those whom no group takes, those who left and those who are yet to start.
    pub group: Option<String>,
}

/// Whom an id names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonMatch<'d> {
    /// Nobody.
    Nobody,
    /// This person.
    One(&'d Entry),
    /// These people: ids are unique among people of one kind only, and a number may be given twice.
    Several(Vec<&'d Entry>),
}

impl<'d> PersonMatch<'d> {
    /// The person, where there is exactly one.
    pub fn one(self) -> Option<&'d Entry> {
        match self {
            Self::One(entry) => Some(entry),
            Self::Nobody | Self::Several(_) => None,
        }
    }
}

impl Directory {
    /// The directory of a school on a day. Of two people of one kind with the same id at Wonde, the one whose key it is
    /// has it, else the one whose present id it is.
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
                // No register has those who are yet to start.
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

    /// A directory out of what [`Directory::ids`] gave.
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
            directory.by_id.entry(id).or_default().push((sort, place));
        }
        directory
    }

    /// Every id with its sort and whom it belongs to, in no order.
    pub fn ids(&self) -> impl Iterator<Item = (IdKind, &str, &Entry)> {
        self.by_id.iter().flat_map(|(id, places)| {
            places
                .iter()
                .filter_map(|(sort, place)| Some((*sort, id.as_str(), self.people.get(*place)?)))
        })
    }

    /// Whom an id at Wonde belongs to; nobody where it is of several.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.lookup(id, &[IdKind::Id], None).one()
    }

    /// Whom an id names that may be of one of these sorts; the first sort of which it is anybody's counts. With a kind of
    /// people only they are looked at.
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

    /// Everybody, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.people.iter()
    }

    /// How many people there are.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}
