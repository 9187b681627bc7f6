//! Changes to people and groups, as a school office makes them.

mod day;
mod office;

use chrono::{DateTime, NaiveDate, Utc};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub(crate) use day::a_day;

use crate::error::Error;
use crate::school::School;
use office::Office;

/// One change in a school's MIS. Ids are the API's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Change {
    /// A pupil is entered, with a family or as somebody's sibling.
    Join {
        /// First day on roll; today when absent. Not visible before.
        #[serde(default)]
        on: Option<NaiveDate>,
        /// Code of the year, as `7` or `R`.
        #[serde(default)]
        year: Option<String>,
        /// The name used; made up when absent.
        #[serde(default)]
        forename: Option<String>,
        /// The family name; made up when absent.
        #[serde(default)]
        surname: Option<String>,
        /// A pupil with the same contacts.
        #[serde(default)]
        sibling_of: Option<String>,
    },
    /// A pupil's last day is entered.
    Leave {
        /// The pupil.
        student: String,
        /// Last day on roll; yesterday when absent, so that the pupil is gone at once.
        #[serde(default)]
        on: Option<NaiveDate>,
    },
    /// A pupil's record is deleted.
    Remove {
        /// The pupil.
        student: String,
    },
    /// A deleted pupil's record is brought back, with its old id.
    Restore {
        /// The pupil.
        student: String,
    },
    /// A pupil comes back, or is enrolled anew: another id and MIS key, the same `upi`. The old record is deleted.
    ReEnrol {
        /// The old record; it may have left.
        student: String,
    },
    /// A pupil's name changes.
    Rename {
        /// The pupil.
        student: String,
        /// The new name used.
        #[serde(default)]
        forename: Option<String>,
        /// The new family name.
        #[serde(default)]
        surname: Option<String>,
    },
    /// A pupil moves to another group of the same sort; a club is joined or left.
    Move {
        /// The pupil.
        student: String,
        /// The group.
        group: String,
    },
    /// A group gets another name. Its members' records do not change.
    RenameGroup {
        /// The group.
        group: String,
        /// The new name.
        name: String,
    },
    /// A contact is deleted.
    DeleteContact {
        /// The contact.
        contact: String,
    },
    /// The relationship of a contact to a pupil changes.
    Relationship {
        /// The pupil.
        student: String,
        /// The contact.
        contact: String,
        /// Lives with the pupil.
        #[serde(default)]
        lives_with: Option<bool>,
        /// Has parental responsibility.
        #[serde(default)]
        parental_responsibility: Option<bool>,
        /// Priority, from 1.
        #[serde(default)]
        priority: Option<u8>,
    },
    /// Somebody starts work.
    Hire {
        /// Is a teacher.
        teaching: bool,
        /// The name used; made up when absent.
        #[serde(default)]
        forename: Option<String>,
        /// The family name; made up when absent.
        #[serde(default)]
        surname: Option<String>,
    },
    /// A member of staff's last day is entered.
    Dismiss {
        /// The member of staff.
        employee: String,
        /// Last day; yesterday when absent.
        #[serde(default)]
        on: Option<NaiveDate>,
    },
}

/// Makes a change and returns the id of the created or changed record.
pub(crate) fn make(
    school: &mut School,
    change: &Change,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    school.changes += 1;
    let mut office = Office {
        chance: chance(school, school.changes),
        today: school.day(now),
        school,
        now,
    };
    office.make(change)
}

fn chance(school: &School, salt: u64) -> ChaCha8Rng {
    let mut rng =
        ChaCha8Rng::seed_from_u64(school.ground.seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    rng.set_stream(u64::from(school.n) * 64 + 40);
    rng
}
