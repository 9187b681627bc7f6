//! People and groups as the MIS knows them.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Which of a school's people.
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
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// A pupil.
    Student,
    /// A member of staff.
    Staff,
    /// A contact of a pupil.
    Parent,
}

/// Which people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeopleQuery {
    /// Students, staff or parents.
    pub kind: PersonKind,
    /// Only those changed since then; a full read without it.
    pub updated_after: Option<DateTime<Utc>>,
}

/// One person. `None` means "none" or "not allowed to be read": Wonde tells no difference.
///
/// `Debug` shows the ids alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Wonde's id; a pupil's changes on re-enrolment.
    pub id: String,
    /// The id that stays with a person.
    pub upi: Option<String>,
    /// The MIS's own key.
    pub mis_id: Option<String>,
    /// Given name.
    pub forename: Option<String>,
    /// Family name.
    pub surname: Option<String>,
    /// Year group as the school names it: `7`, `Year 7`, `R`.
    pub year: Option<String>,
    /// Registration (tutor) group.
    pub registration: Option<String>,
    /// First day at the school.
    pub joins: Option<NaiveDate>,
    /// Last day at the school.
    pub leaves: Option<NaiveDate>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// One group that the MIS sorts people into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Wonde's id.
    pub id: String,
    /// What sort of group: `YEAR`, `REGISTRATION`, `HOUSE` ... as Wonde says it.
    pub kind: Option<String>,
    /// The group's name.
    pub name: Option<String>,
}
