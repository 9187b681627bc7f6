//! Parts of a record that one permission covers, to distinguish a lost permission from a change.

use std::fmt;

use mis_core::{Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

/// A part of a record that Wonde can withhold as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The permanent id of a person (UPI).
    Upi,
    /// The MIS's own key.
    MisId,
    /// Of a student: the unique pupil number.
    Upn,
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
    /// The parts that records of this kind have with these properties.
    pub(crate) fn of(
        kind: PersonKind,
        properties: &std::collections::BTreeSet<Property>,
    ) -> Vec<Self> {
        let mut parts = vec![Self::Upi, Self::MisId];
        match kind {
            PersonKind::Student => parts.extend([Self::Upn, Self::Dates]),
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

    /// Whether the record has a value.
    pub(crate) fn is_in(self, person: &Person) -> bool {
        match self {
            Self::Upi => person.upi.is_some(),
            Self::MisId => person.mis_id.is_some(),
            Self::Upn => person.upn.is_some(),
            Self::Forename => person.forename.is_some(),
            Self::Surname => person.surname.is_some(),
            // Few people have a last day, so its absence means nothing.
            Self::Dates => person.joins.is_some(),
            Self::Current => person.current.is_some(),
            Self::Property(property) => person.has(property),
        }
    }

    /// The part that a field belongs to, by its path in Wonde's record.
    pub(crate) fn of_field(field: &str) -> Option<Self> {
        use mis_core::{Need, needed_for};
        match (needed_for(field), field) {
            (Need::For(Property::Name), "forename") => Some(Self::Forename),
            (Need::For(Property::Name), _) => Some(Self::Surname),
            (Need::For(property), _) => Some(Self::Property(property)),
            (Need::Always, "upi") => Some(Self::Upi),
            (Need::Always, "mis_id") => Some(Self::MisId),
            (Need::Always, "education_details.upn") => Some(Self::Upn),
            (Need::Always, "employment_details.current") => Some(Self::Current),
            _ => None,
        }
    }

    /// Copies the part from another record.
    pub(crate) fn copy(self, to: &mut Person, from: &Person) {
        match self {
            Self::Upi => to.upi.clone_from(&from.upi),
            Self::MisId => to.mis_id.clone_from(&from.mis_id),
            Self::Upn => to.upn.clone_from(&from.upn),
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
            Self::Upn => "upn",
            Self::Forename => "forename",
            Self::Surname => "surname",
            Self::Dates => "dates",
            Self::Current => "current",
            Self::Property(property) => property.as_str(),
        })
    }
}
