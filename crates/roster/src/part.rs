//! The parts of a record that one permission covers, for telling a lost permission from news.

use std::fmt;

use mis_core::{Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

/// A part of a record that Wonde may keep back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The id that stays with a person.
    Upi,
    /// The MIS's own key.
    MisId,
    /// Given name.
    Forename,
    /// Family name.
    Surname,
    /// First and last day at the school.
    Dates,
    /// Whether staff are employed now.
    Current,
    /// Any other property.
    #[serde(untagged)]
    Property(Property),
}

impl Part {
    /// The parts of records of this kind that are kept when these properties are.
    pub(crate) fn of(
        kind: PersonKind,
        properties: &std::collections::BTreeSet<Property>,
    ) -> Vec<Self> {
        let mut parts = vec![Self::Upi, Self::MisId];
        match kind {
            PersonKind::Student => parts.push(Self::Dates),
            PersonKind::Staff => parts.extend([Self::Dates, Self::Current]),
            PersonKind::Parent => {}
        }
        for property in properties.iter().filter(|property| property.is_of(kind)) {
            match property {
                Property::Name => parts.extend([Self::Forename, Self::Surname]),
                other => parts.push(Self::Property(*other)),
            }
        }
        parts
    }

    /// Whether the record says anything here.
    pub(crate) fn is_in(self, person: &Person) -> bool {
        match self {
            Self::Upi => person.upi.is_some(),
            Self::MisId => person.mis_id.is_some(),
            Self::Forename => person.forename.is_some(),
            Self::Surname => person.surname.is_some(),
            // A last day is an exception: that nobody has one is no sign of anything.
            Self::Dates => person.joins.is_some(),
            Self::Current => person.current.is_some(),
            Self::Property(property) => person.has(property),
        }
    }

    /// Takes the part over from another record.
    pub(crate) fn copy(self, to: &mut Person, from: &Person) {
        match self {
            Self::Upi => to.upi.clone_from(&from.upi),
            Self::MisId => to.mis_id.clone_from(&from.mis_id),
            Self::Forename => to.forename.clone_from(&from.forename),
            Self::Surname => to.surname.clone_from(&from.surname),
            Self::Dates => {
                to.joins = from.joins;
                to.leaves = from.leaves;
            }
            Self::Current => to.current = from.current,
            Self::Property(property) => to.copy(property, from),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upi => "upi",
            Self::MisId => "mis_id",
            Self::Forename => "forename",
            Self::Surname => "surname",
            Self::Dates => "dates",
            Self::Current => "current",
            Self::Property(property) => property.word(),
        })
    }
}
