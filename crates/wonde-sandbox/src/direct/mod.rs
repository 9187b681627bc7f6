//! Direct access to the schools' MISs for tests, bypassing the API.

mod codes;
mod marks;
mod people;
mod switches;

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use codes::{CodeChange, NewLesson};
pub use marks::{MarkHistory, MarkVersion, MisMark, TeacherMark};
pub use people::{AdultInfo, LinkInfo, StudentInfo};

use crate::counts::RequestCounts;
use crate::error::Error;
use crate::ids::Kind;
use crate::inner::{Inner, delta};
use crate::mis;
use crate::school::{Access, School};

/// A school of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SchoolInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The MIS it runs, as named in the API.
    pub mis: String,
    /// Its IANA time zone.
    pub timezone: String,
    /// A token for this school alone.
    pub token: String,
    /// Whether the MIS accepts marks.
    pub writes: bool,
    /// The school's answer to the request for access.
    pub access: Access,
    /// Whether the MIS is online.
    pub online: bool,
    /// Whether the MIS stores session marks (`session`) or marks of first lessons (`first_lesson`).
    pub register: &'static str,
}

/// Controls a running sandbox, bypassing its API. Clones control the same sandbox.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("options", &self.inner.options)
            .finish()
    }
}

impl Handle {
    /// The API's base URL, including the version.
    pub fn base_url(&self) -> String {
        self.region_url(0)
    }

    /// The base URL of another region, which has no data of the schools.
    pub fn wrong_region_url(&self) -> String {
        self.region_url(1)
    }

    fn region_url(&self, region: usize) -> String {
        let domains = self.inner.domains();
        format!(
            "http://{}/v1.0",
            domains.get(region).map_or("", String::as_str)
        )
    }

    /// The control API's URL.
    pub fn control_url(&self) -> String {
        self.base_url().replace("/v1.0", "/sandbox")
    }

    /// A token for all schools, derived from the seed.
    pub fn token(&self) -> String {
        self.inner.token()
    }

    /// The time in the sandbox.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.now()
    }

    /// Advances the sandbox's time relative to its clock.
    pub fn advance(&self, by: Duration) {
        self.inner.put_forward(delta(by));
    }

    /// Sets the delay of writes.
    pub fn set_write_delay(&self, delay: Duration) {
        self.inner.set_write_delay(delay);
    }

    /// All schools.
    pub fn schools(&self) -> Vec<SchoolInfo> {
        let now = self.now();
        (0..self.inner.school_count())
            .filter_map(|n| self.inner.asleep(n).map(|s| self.info(&s, now)))
            .collect()
    }

    fn info(&self, school: &School, now: DateTime<Utc>) -> SchoolInfo {
        SchoolInfo {
            id: school.id(Kind::School, 0),
            name: school.name.clone(),
            mis: school.shape.name.to_owned(),
            timezone: school.tz.name().to_owned(),
            token: self.inner.school_token(school.n),
            writes: school.shape.writes,
            access: school.access,
            online: school.extraction.online(now),
            register: match school.shape.register {
                mis::Register::Session => "session",
                mis::Register::Lesson => "first_lesson",
            },
        }
    }

    /// Counts of the API's requests so far.
    pub fn requests(&self) -> RequestCounts {
        self.inner.counts.get()
    }

    /// Resets the counts.
    pub fn reset_requests(&self) {
        self.inner.counts.reset();
    }

    fn number(&self, school: &str) -> Result<u32, Error> {
        self.inner
            .ids
            .read(school, Kind::School)
            .map(|(n, _)| n)
            .ok_or_else(|| Error::unknown("school", school))
    }

    pub(crate) fn awake(&self, school: &str) -> Result<MutexGuard<'_, School>, Error> {
        let n = self.number(school)?;
        self.inner
            .awake(n, self.now())
            .ok_or_else(|| Error::unknown("school", school))
    }

    fn asleep(&self, school: &str) -> Result<MutexGuard<'_, School>, Error> {
        let n = self.number(school)?;
        self.inner
            .asleep(n)
            .ok_or_else(|| Error::unknown("school", school))
    }
}
