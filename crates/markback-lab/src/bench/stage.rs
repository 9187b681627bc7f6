//! The test environment: a sandbox with schools, events of their pupils, and settings.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, TimeZone as _, Utc, Weekday};
use chrono_tz::Tz;
use futures::TryStreamExt as _;
use mis_core::Session;
use mis_wonde::wonde::{AttendanceCodeId, Client, SchoolClient, SchoolId};
use rand::RngExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use wonde_sandbox::{Fault, FaultRule, Sandbox, SandboxOptions};

/// Pupils at each school, on roll or not.
const PUPILS: u32 = 1_500;
/// Nine of twelve schools in the sandbox have an MIS that stores marks.
const SCHOOLS_IN_ALL: u32 = 12;
const SCHOOLS_THAT_WRITE: usize = 9;
/// The minimum number of events; fewer finish before anything can be measured.
pub(super) const EVENTS_MIN: usize = 2_000;
/// All schools are in England.
const ZONE: Tz = chrono_tz::Europe::London;

/// The sandbox and its schools.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) schools: Vec<School>,
    /// The school day of all events.
    pub(super) date: NaiveDate,
    /// The number of events in a full backlog.
    pub(super) events: usize,
    pub(super) key: String,
    pub(super) folder: TempDir,
    numbers: AtomicU64,
}

/// A school whose MIS stores marks.
pub(super) struct School {
    pub(super) id: String,
    pub(super) mis: String,
    /// Its pupils on roll.
    pub(super) pupils: Vec<String>,
}

/// An event and its school.
pub(super) struct Sent {
    pub(super) school: usize,
    pub(super) event: Value,
}

impl Stage {
    /// Starts the sandbox and generates its people.
    pub(super) async fn set(events: usize) -> anyhow::Result<Self> {
        let date = school_day(Utc::now());
        // Each pupil comes twice, and nine in ten are on roll.
        let wanted = events.div_ceil(2 * PUPILS as usize * 8 / 10);
        let rounds = wanted.div_ceil(SCHOOLS_THAT_WRITE);
        let options = SandboxOptions {
            schools: SCHOOLS_IN_ALL * u32::try_from(rounds)?,
            pupils_per_school: PUPILS,
            start_date: Some(date),
            write_delay: Duration::from_secs(1),
            ..SandboxOptions::default()
        };
        let stage = Self::with(options, date, events).await?;
        let ready = stage.pupils();
        anyhow::ensure!(
            2 * ready >= events,
            "the sandbox has {ready} pupils for {events} events; name fewer --events"
        );
        Ok(stage)
    }

    /// Starts many schools of different sizes, in each of which all pupils come once.
    pub(super) async fn nation(
        schools: u32,
        [smallest, largest]: [u32; 2],
        write_delay: Duration,
    ) -> anyhow::Result<Self> {
        let date = school_day(Utc::now());
        let wanted = usize::try_from(schools)?;
        let options = SandboxOptions {
            schools: SCHOOLS_IN_ALL * u32::try_from(wanted.div_ceil(SCHOOLS_THAT_WRITE))?,
            pupils_per_school: largest,
            pupils_of_smallest: Some(smallest),
            start_date: Some(date),
            write_delay,
            ..SandboxOptions::default()
        };
        let mut stage = Self::with(options, date, 0).await?;
        stage.schools.truncate(wanted);
        stage.events = stage.pupils();
        Ok(stage)
    }

    async fn with(options: SandboxOptions, date: NaiveDate, events: usize) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(options).await?;
        let schools = tokio::task::block_in_place(|| schools(&sandbox))?;
        let folder = TempDir::with_prefix("markback-bench-")
            .context("the temporary folder cannot be created")?;
        let key = format!("bench-{:032x}", rand::rng().random::<u128>());
        for (name, text) in [("wonde-token", sandbox.token()), ("api-key", key.clone())] {
            std::fs::write(folder.path().join(name), text)
                .context("a file cannot be written to the temporary folder")?;
        }
        Ok(Self {
            sandbox,
            schools,
            date,
            events,
            key,
            folder,
            numbers: AtomicU64::new(0),
        })
    }

    /// The pupils on roll of all schools.
    fn pupils(&self) -> usize {
        self.schools.iter().map(|school| school.pupils.len()).sum()
    }

    /// A client of the sandbox for one school.
    pub(super) fn client(&self, school: &str) -> anyhow::Result<SchoolClient> {
        let client = Client::builder(SecretString::from(self.sandbox.token()))
            .base_url(self.sandbox.base_url())
            .build()?;
        Ok(client.at_base(&SchoolId::from(school)))
    }

    /// The id that an attendance code has at a school.
    pub(super) async fn code(&self, school: &str, code: &str) -> anyhow::Result<AttendanceCodeId> {
        let codes = self.client(school)?.attendance_codes();
        let codes: Vec<_> = codes.try_collect().await?;
        let found = codes
            .into_iter()
            .find(|line| line.code.as_deref() == Some(code));
        let found = found.with_context(|| format!("the school has no code {code}"))?;
        Ok(found.id)
    }

    /// A time before the first mark of the school day.
    pub(super) fn day_began(&self) -> DateTime<Utc> {
        at(self.date, 6 * 60)
    }

    /// Delays every response of the sandbox, as over a real network; zero ends the delay.
    pub(super) fn answer_after(&self, length: Duration) -> anyhow::Result<()> {
        self.sandbox.clear_faults();
        if !length.is_zero() {
            let millis = u64::try_from(length.as_millis())?;
            let slow = Fault::Slow {
                millis,
                after: false,
            };
            self.sandbox.add_fault(FaultRule::new(slow))?;
        }
        Ok(())
    }

    pub(super) async fn strike(self) {
        self.sandbox.stop().await;
    }

    /// Writes a settings file for some of the schools and returns its path.
    pub(super) fn settings(&self, name: &str, schools: &[School]) -> anyhow::Result<PathBuf> {
        let mut toml = format!(
            "wonde_url = {:?}\n{SERVICE}{TEMPLATE}",
            self.sandbox.base_url()
        );
        for school in schools {
            let _ = write!(
                toml,
                "\n[[school]]\nid = {:?}\ntemplate = \"school\"\n",
                school.id
            );
        }
        self.write(&format!("{name}.toml"), &toml)
    }

    /// Writes a file to the folder and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).context("a file cannot be written to the temporary folder")?;
        Ok(path)
    }

    /// A sign-in of one pupil at this time of the morning, in minutes after midnight.
    pub(super) fn sign_in_at(&self, school: usize, pupil: &str, minutes: i64) -> Sent {
        let event = json!({
            "id": format!("bench-{}", self.number()),
            "person": pupil,
            "kind": "sign_in",
            "at": at(self.date, minutes).to_rfc3339(),
        });
        Sent { school, event }
    }

    /// A unique number for an event of this run.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A full backlog: a morning, and the afternoon of some of the same pupils.
    pub(super) fn backlog(&self) -> Vec<Sent> {
        let mut events = self.sign_ins(self.events.div_ceil(2), Session::Am);
        events.extend(self.sign_ins(self.events - events.len(), Session::Pm));
        events
    }

    /// One sign-in for each of this many pupils, alternating between the schools: each becomes one mark.
    pub(super) fn sign_ins(&self, count: usize, session: Session) -> Vec<Sent> {
        let longest = self.schools.iter().map(|school| school.pupils.len()).max();
        (0..longest.unwrap_or(0))
            .flat_map(|n| (0..self.schools.len()).map(move |school| (school, n)))
            .filter_map(|(school, n)| {
                let pupil = self.schools.get(school)?.pupils.get(n)?;
                Some(self.sign_in(school, pupil, session))
            })
            .take(count)
            .collect()
    }

    /// One more sign-in after the backlog: the last pupil's of the last school.
    pub(super) fn spare(&self) -> Vec<Sent> {
        let last = self.schools.len().saturating_sub(1);
        self.sign_ins_at(last, Session::Pm)
            .pop()
            .into_iter()
            .collect()
    }

    /// The sign-ins of one school.
    pub(super) fn sign_ins_at(&self, school: usize, session: Session) -> Vec<Sent> {
        let pupils = self
            .schools
            .get(school)
            .map(|school| school.pupils.as_slice());
        pupils
            .unwrap_or_default()
            .iter()
            .map(|pupil| self.sign_in(school, pupil, session))
            .collect()
    }

    fn sign_in(&self, school: usize, pupil: &str, session: Session) -> Sent {
        let number = self.number();
        // Three in ten come late, a few of them with a reason.
        let minute = i64::try_from(number * 7 % 100).unwrap_or(0);
        let begins = match session {
            Session::Am => 8 * 60 + 20,
            Session::Pm => 12 * 60 + 20,
        };
        let minutes = begins
            + if minute < 70 {
                minute % 40
            } else {
                minute - 28
            };
        let answers = match minute {
            96.. => json!({"Reason for being late": "Bus"}),
            _ => json!({}),
        };
        let event = json!({
            "id": format!("bench-{number}"),
            "person": pupil,
            "kind": "sign_in",
            "at": at(self.date, minutes).to_rfc3339(),
            "answers": answers,
        });
        Sent { school, event }
    }
}

/// The last weekday on which the school day is over or has long begun.
fn school_day(now: DateTime<Utc>) -> NaiveDate {
    let local = now.with_timezone(&ZONE);
    let mut day = local.date_naive();
    // All sign-ins of the day must lie in the past, or nearly.
    if now < at(day, 14 * 60) {
        day = day - Days::new(1);
    }
    while matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
        day = day - Days::new(1);
    }
    day
}

fn at(date: NaiveDate, minutes: i64) -> DateTime<Utc> {
    let local = date.and_hms_opt(0, 0, 0).unwrap_or_default() + TimeDelta::minutes(minutes);
    ZONE.from_local_datetime(&local)
        .earliest()
        .map_or_else(|| local.and_utc(), |local| local.with_timezone(&Utc))
}

fn schools(sandbox: &Sandbox) -> anyhow::Result<Vec<School>> {
    sandbox
        .schools()
        .into_iter()
        .filter(|school| school.writes)
        .map(|school| {
            let pupils = sandbox.students(&school.id)?.into_iter();
            Ok(School {
                pupils: pupils
                    .filter(|pupil| pupil.on_roll)
                    .map(|pupil| pupil.id)
                    .collect(),
                id: school.id,
                mis: school.mis,
            })
        })
        .collect()
}

/// The defaults, except for the rate limit, since with one token for all schools nothing else would be measured, and for
/// retention: what is stored for a measurement stays, however old it is.
pub(super) const SERVICE: &str = r#"
listen = "127.0.0.1:0"
api_key_file = "api-key"
store_env = "MARKBACK_BENCH_STORE"
rate_per_minute = 1000000
retention = "36500d"
retention_undecided = "36500d"
"#;

/// The settings of all schools.
pub(super) const TEMPLATE: &str = r#"
[[template]]
name = "school"
timezone = "Europe/London"
token_file = "wonde-token"

[[template.group]]
name = "Pupils"
kind = "students"

[[template.group.field]]
name = "Reason for being late"
on = "sign_in"
options = ["Bus", "Overslept"]

[template.group.writeback]
present = true
closes = "16:00"
am = { late = "09:00", unauthorised = "09:30" }
pm = { late = "13:00", unauthorised = "13:30" }
comment = { sign_in = "Reason for being late" }
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_school_day_is_a_weekday_whose_sign_ins_are_over() {
        for (now, day) in [
            ("2026-11-23T15:00:00Z", "2026-11-23"),
            ("2026-11-23T10:00:00Z", "2026-11-20"),
            ("2026-11-22T18:00:00Z", "2026-11-20"),
            ("2026-07-01T13:30:00Z", "2026-07-01"),
        ] {
            let day: NaiveDate = day.parse().unwrap();
            assert_eq!(school_day(now.parse().unwrap()), day, "{now}");
        }
    }
}
