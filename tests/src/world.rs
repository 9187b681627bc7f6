//! A test bed for services that run as processes of their own.

use std::ops::Deref;

use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Europe::London;
use markback_lab::harness::{TestBed, quick_sandbox};
use serde_json::{Value, json};
use wonde_sandbox::{MisMark, SandboxOptions, SchoolInfo, StudentInfo};

/// A test bed with settings for all schools of its sandbox.
#[derive(Debug)]
pub struct World(TestBed);

impl Deref for World {
    type Target = TestBed;

    fn deref(&self) -> &TestBed {
        &self.0
    }
}

/// The last school day before today, so that tests can run at any time: events may be a week old.
pub fn school_day() -> NaiveDate {
    let today = Utc::now().date_naive();
    (1..)
        .filter_map(|days| today.checked_sub_days(Days::new(days)))
        .find(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
        .unwrap()
}

/// A group with every kind of writeback.
const GROUPS: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"

[[school.group.field]]
name = "Why?"
on = "sign_in"
options = ["Bus", "Overslept", "M - Medical appointment"]

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
protected = ["/", "\\"]
custom_codes = { sign_in = "Why?" }
comment = { sign_in = "Why?" }
"#;

/// Short delays between a worker's steps, for an MIS that stores a mark within 200 ms.
pub(crate) const SHORT_DELAYS: &str = r#"
[workers]
poll = "50ms"
lease = "2s"
confirm_after = "100ms"
confirm_at_least_every = "500ms"
read_back_after = "1s"
look_after = "500ms"
backoff = "100ms"
backoff_max = "1s"
"#;

impl World {
    /// Starts three schools, with SIMS, Arbor and ScholarPack.
    pub async fn new() -> Self {
        Self::with_groups(GROUPS).await
    }

    /// Starts the same schools with other groups.
    pub async fn with_groups(groups: &str) -> Self {
        Self::of_size(40, groups).await
    }

    /// Starts the same schools with this many pupils each, a few of whom have left.
    pub async fn of_size(pupils: u32, groups: &str) -> Self {
        let options = SandboxOptions {
            pupils_per_school: pupils,
            ..quick_sandbox()
        };
        let bed = TestBed::start(None, options).await;
        let service = "register_window = '1s'\ngather = { window = '50ms', max = 200 }";
        let school = format!("timezone = 'Europe/London'\ntoken_file = 'token'\n{groups}");
        bed.write_settings(service, SHORT_DELAYS, 3, &school);
        Self(bed)
    }

    /// Adds a line at the start of the settings file.
    pub fn set_service(&self, line: &str) {
        let settings = std::fs::read_to_string(self.settings_path()).unwrap();
        std::fs::write(self.settings_path(), format!("{line}\n{settings}")).unwrap();
    }

    /// The pupils who were on roll on the school day and still are.
    pub fn pupils(&self, school: &SchoolInfo) -> Vec<StudentInfo> {
        let mut pupils = self.pupils_of(&school.id);
        pupils.retain(|pupil| pupil.admission <= school_day());
        pupils
    }

    /// The marks of a pupil on the school day that the school's MIS holds and that were written through Wonde.
    pub fn written(&self, school: &SchoolInfo, pupil: &StudentInfo) -> Vec<MisMark> {
        let marks = self.sandbox.mis_marks(&school.id).unwrap().into_iter();
        marks
            .filter(|mark| {
                mark.student_id == pupil.id && mark.date == school_day() && mark.writes > 0
            })
            .collect()
    }
}

/// A sign-in on the school day, at this time of day in London.
pub fn sign_in(id: &str, pupil: &StudentInfo, time: &str) -> Value {
    json!({"id": id, "person": pupil.id, "kind": "sign_in", "at": at(time)})
}

/// A time of day in London on the school day, with its offset.
pub fn at(time: &str) -> String {
    let local = school_day().and_time(time.parse().unwrap());
    local.and_local_timezone(London).unwrap().to_rfc3339()
}
