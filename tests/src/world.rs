//! A sandbox, and a folder with the settings of a service on it.

use std::path::PathBuf;

use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Europe::London;
use serde_json::{Value, json};
use tempfile::TempDir;
use wonde_sandbox::{MisMark, Sandbox, SandboxOptions, SchoolInfo, StudentInfo};

/// The bearer key of the services on it.
pub(crate) const KEY: &str = "the-key-of-the-tests";

/// A sandbox and settings for all its schools.
#[derive(Debug)]
pub struct World {
    /// The sandbox.
    pub sandbox: Sandbox,
    folder: TempDir,
}

/// The last school day before today, so that a test runs at any hour of any day: events may be a week old.
pub fn school_day() -> NaiveDate {
    let today = Utc::now().date_naive();
    (1..)
        .filter_map(|days| today.checked_sub_days(Days::new(days)))
        .find(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
        .unwrap()
}

/// Groups that write everything back, whatever the day of the week.
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

/// Whatever is waited for comes soon: the sandbox's MIS takes 200 ms.
pub(crate) const PACE: &str = r#"
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
    /// Three schools, SIMS, Arbor and ScholarPack, whose registers are empty, whose MIS are quick, and whose copies are fresh.
    pub async fn new() -> Self {
        Self::with(SandboxOptions::default(), GROUPS).await
    }

    /// Other options of the sandbox and other groups; the seed, the schools and what a service must find stay.
    pub async fn with(options: SandboxOptions, groups: &str) -> Self {
        let options = SandboxOptions {
            pupils_per_school: 40,
            history_days: 0,
            write_delay: std::time::Duration::from_millis(200),
            extraction_every: std::time::Duration::ZERO,
            ..options
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let world = Self { sandbox, folder };
        std::fs::write(world.path("token"), world.sandbox.token()).unwrap();
        std::fs::write(world.path("key"), KEY).unwrap();
        std::fs::write(world.settings(), world.toml(groups)).unwrap();
        world
    }

    /// A file in the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.path("markback.toml")
    }

    /// Puts a line of settings before the others.
    pub fn set_service(&self, line: &str) {
        let settings = std::fs::read_to_string(self.settings()).unwrap();
        std::fs::write(self.settings(), format!("{line}\n{settings}")).unwrap();
    }

    fn toml(&self, groups: &str) -> String {
        let mut toml = format!(
            "listen = '127.0.0.1:0'\napi_key_file = 'key'\nstore = 'sqlite:{}'\nwonde_url = '{}'\n\
             rate_per_minute = 60000\nregister_window = '1s'\ngather = {{ window = '50ms', max = 200 }}\n{PACE}",
            self.path("markback.db").display(),
            self.sandbox.base_url(),
        );
        for school in self.sandbox.schools() {
            toml += &format!(
                "\n[[school]]\nid = '{}'\ntimezone = 'Europe/London'\ntoken_file = 'token'\n{groups}",
                school.id
            );
        }
        toml
    }

    /// The school with this MIS.
    pub fn school(&self, mis: &str) -> SchoolInfo {
        let mut schools = self.sandbox.schools().into_iter();
        schools.find(|school| school.mis == mis).unwrap()
    }

    /// Pupils who were on roll on the school day and still are.
    pub fn pupils(&self, school: &SchoolInfo) -> Vec<StudentInfo> {
        let pupils = self.sandbox.students(&school.id).unwrap().into_iter();
        pupils
            .filter(|pupil| {
                pupil.on_roll && pupil.admission <= school_day() && pupil.leaving.is_none()
            })
            .collect()
    }

    /// What the school's MIS holds for a pupil on the school day and that was written from outside.
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
