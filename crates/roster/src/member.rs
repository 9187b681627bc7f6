//! Members: people of a group with the properties that the settings name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::NaiveDate;
use mis_core::{Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{identity::PersonKey, part::Part};

/// One person in a group.
///
/// `Debug` shows only ids.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The permanent id at the host.
    pub key: PersonKey,
    /// The record: current ids and the properties that the settings name.
    pub person: Person,
    /// For a parent: their students in the group.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub children: BTreeSet<PersonKey>,
}

impl Member {
    pub(crate) fn new(
        key: &PersonKey,
        record: &Person,
        told: &BTreeSet<Property>,
        children: BTreeSet<PersonKey>,
    ) -> Self {
        let person = Person {
            joins: None,
            leaves: None,
            pre_admission: false,
            current: None,
            changed_at: None,
            // Used to match people; not shown to the host.
            upn: None,
            mobile: None,
            ..record.clone()
        };
        Self {
            key: key.clone(),
            person: person.trimmed(told),
            children,
        }
    }

    /// The fields that differ.
    pub(crate) fn differs(&self, other: &Self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        if self.person.id != other.person.id {
            fields.insert(Field::Id);
        }
        if self.children != other.children {
            fields.insert(Field::Children);
        }
        let everything = Property::ALL.into();
        for part in Part::of(self.person.kind, &everything) {
            let mut copy = other.person.clone();
            part.copy(&mut copy, &self.person);
            if copy != other.person {
                fields.insert(Field::Part(part));
            }
        }
        fields
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("key", &self.key)
            .field("person", &self.person)
            .field("children", &self.children)
            .finish()
    }
}

/// A field of a member that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Field {
    /// The current id at Wonde: the person enrolled again.
    Id,
    /// A parent's students.
    Children,
    /// A part of the record.
    #[serde(untagged)]
    Part(Part),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Children => f.write_str("children"),
            Self::Part(part) => part.fmt(f),
        }
    }
}

/// A group's people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Students, staff or parents.
    pub kind: PersonKind,
    /// The people by key.
    pub members: BTreeMap<PersonKey, Member>,
}

/// A former member, kept for a limited time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Former {
    /// The group.
    pub group: String,
    /// When they left it.
    pub left: NaiveDate,
    /// Their last data.
    pub member: Member,
}
