//! Members: people as the host sees them in a group, no more of them than the settings name.

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
/// `Debug` shows ids alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The id the host knows the person by, for good.
    pub key: PersonKey,
    /// The record: the present ids, and what the group's settings name.
    pub person: Person,
    /// Of a parent: the students they are in the group for.
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
            // For telling people apart, not for the host.
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

    /// What is different in the other.
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

/// What may change of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The present id at Wonde: the person enrolled again.
    Id,
    /// The students a parent is there for.
    Children,
    /// Something of the record.
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

/// Somebody who left a group; kept for a time, in case of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The group.
    pub group: String,
    /// When they left it.
    pub left: NaiveDate,
    /// As they were last.
    pub member: Member,
}
