//! Who an event's person is: the school's people as the roster has them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use mis_core::{Mis, wonde::SchoolId};
use roster::{Directory, Pull, State, When};

use crate::settings::{School, Settings};

/// The directories of all schools whose people are known.
#[derive(Debug, Default)]
pub struct Directories {
    of: RwLock<HashMap<SchoolId, Arc<Directory>>>,
}

impl Directories {
    /// A school's directory; `None` until its people were read for the first time.
    pub fn of(&self, school: &SchoolId) -> Option<Arc<Directory>> {
        self.of
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(school)
            .cloned()
    }

    /// Takes a school's directory in the place of the one before.
    pub fn set(&self, school: SchoolId, directory: Directory) {
        self.of
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(school, Arc::new(directory));
    }
}

/// Reads a school's people from its MIS and splits them among the groups of the settings.
///
/// # Errors
/// Those of the reads.
pub async fn read_people(
    mis: &Mis,
    settings: &Settings,
    school: &School,
    now: DateTime<Utc>,
) -> mis_core::Result<Directory> {
    let settings = settings.roster(school);
    let when = When {
        now,
        today: now.with_timezone(&school.timezone).date_naive(),
    };
    let mut pull = Pull::new(&State::default(), &settings, true, now);
    pull.run(mis, &State::default(), || now, &mut |_| ())
        .await?;
    let outcome = State::default().apply(&settings, &pull.into_answers(), when, true);
    Ok(Directory::of(&outcome.state, when.today))
}
