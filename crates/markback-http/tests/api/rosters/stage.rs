//! Services with groups of everybody, and functions to compare the people of the sandbox and the database.

use std::{collections::BTreeMap, ops::Deref, time::Duration};

use chrono::{DateTime, Utc};
use markback::{
    service::Markback,
    settings::{School, Settings},
    store::{SyncRecord, SyncState},
    sync::SyncRequest,
};
use markback_lab::harness::{self, Env};
use mis_core::SchoolId;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::SandboxOptions;

/// One day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A sync of everything.
pub(crate) const FULL: SyncRequest = SyncRequest {
    full: true,
    accept: false,
};

/// Groups of all kinds, so that everybody at a school is in one.
pub(crate) const EVERYBODY: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"

[[school.group]]
name = "Staff"
kind = "staff"

[[school.group]]
name = "Parents"
kind = "parents"
"#;

/// The database of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

pub(crate) struct Stage(Env);

impl Deref for Stage {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.0
    }
}

pub(crate) fn start() -> DateTime<Utc> {
    "2026-11-23T07:00:00Z".parse().unwrap()
}

impl Stage {
    /// Starts the environment; `None` if PostgreSQL is not installed.
    pub(crate) async fn on(on: On, pupils: u32) -> Option<Self> {
        let store = match on {
            On::Sqlite => None,
            On::Postgres => Some(harness::postgres()?),
        };
        let sandbox = SandboxOptions {
            pupils_per_school: pupils,
            history_days: 0,
            ..SandboxOptions::default()
        };
        Some(Self(Env::start(start(), store, sandbox).await))
    }

    pub(crate) async fn sqlite(pupils: u32) -> Self {
        Self::on(On::Sqlite, pupils).await.unwrap()
    }

    /// Settings for this many schools.
    pub(crate) fn settings(&self, schools: usize, groups: &str) -> Settings {
        let school = format!("timezone = 'Europe/London'\ntoken_file = 'token'\n{groups}");
        self.write_settings("", "", schools, &school);
        self.0.settings()
    }

    /// Opens a service.
    pub(crate) async fn open(&self, settings: Settings) -> Markback {
        Markback::open(settings, self.options()).await.unwrap()
    }

    /// Opens a service for one school with everybody in a group.
    pub(crate) async fn service(&self) -> Markback {
        self.open(self.settings(1, EVERYBODY)).await
    }

    /// Whether a text is anywhere in the tables of people on SQLite.
    pub(crate) async fn holds(&self, text: &str) -> bool {
        let file = self.folder.path().join("markback.db");
        let url = format!("sqlite:{}?mode=ro", file.display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'markback_roster_%'",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(tables.len() > 5);
        for table in tables {
            let rows: Vec<sqlx::sqlite::SqliteRow> =
                sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM {table}")))
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            for row in rows {
                use sqlx::Row as _;
                let holds = |column| {
                    let value: Result<String, _> = row.try_get(column);
                    value.is_ok_and(|value| value.contains(text))
                };
                if (0..row.len()).any(holds) {
                    return true;
                }
            }
        }
        false
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// The expected members according to the sandbox, as ids by group.
    pub(crate) fn truth(&self, school: &SchoolId) -> BTreeMap<String, Vec<String>> {
        let students = self.sandbox.students(school.as_str()).unwrap();
        let here: Vec<_> = students
            .into_iter()
            .filter(|student| student.on_roll)
            .collect();
        let mut parents: Vec<_> = here
            .iter()
            .flat_map(|student| student.contacts.iter().map(|link| link.contact_id.clone()))
            .collect();
        let mut pupils: Vec<_> = here.into_iter().map(|student| student.id).collect();
        let staff = self.sandbox.employees(school.as_str()).unwrap();
        let mut staff: Vec<_> = staff
            .into_iter()
            .filter(|one| one.current)
            .map(|one| one.id)
            .collect();
        for list in [&mut pupils, &mut staff, &mut parents] {
            list.sort();
            list.dedup();
        }
        [("Pupils", pupils), ("Staff", staff), ("Parents", parents)]
            .map(|(name, list)| (name.to_owned(), list))
            .into()
    }
}

/// The properties of each member by current id: names, year, registration group, and a parent's children.
pub(crate) type People = BTreeMap<String, Vec<String>>;

impl Stage {
    /// The expected properties according to the sandbox.
    pub(crate) fn people(&self, school: &SchoolId) -> [People; 3] {
        let students = self.sandbox.students(school.as_str()).unwrap();
        let mut children: People = BTreeMap::new();
        let mut pupils: People = BTreeMap::new();
        for student in students.into_iter().filter(|student| student.on_roll) {
            for link in &student.contacts {
                let of = children.entry(link.contact_id.clone()).or_default();
                of.push(student.id.clone());
            }
            let told = [
                student.forename,
                student.surname,
                student.year,
                student.registration,
            ];
            pupils.insert(student.id, told.into());
        }
        let adult = |adult: wonde_sandbox::AdultInfo, mut of: Vec<String>| {
            of.sort();
            (adult.id, [vec![adult.forename, adult.surname], of].concat())
        };
        let staff = self.sandbox.employees(school.as_str()).unwrap().into_iter();
        let staff = staff
            .filter(|one| one.current)
            .map(|one| adult(one, Vec::new()))
            .collect();
        let parents = self.sandbox.contacts(school.as_str()).unwrap().into_iter();
        let parents = parents.filter_map(|one| {
            let of = children.get(&one.id).filter(|_| one.current)?;
            Some(adult(one, of.clone()))
        });
        [pupils, staff, parents.collect()]
    }
}

/// The properties according to the database.
pub(crate) async fn people(markback: &Markback, school: &SchoolId) -> [People; 3] {
    let directory = markback.people().of(school).await.unwrap().unwrap();
    let mut all = [People::new(), People::new(), People::new()];
    for (place, group) in ["Pupils", "Staff", "Parents"].into_iter().enumerate() {
        let page = markback
            .store()
            .group_people(school, group)
            .await
            .unwrap()
            .unwrap();
        for member in page.people {
            let person = member.person;
            let mut of: Vec<_> = member
                .children
                .iter()
                .map(|child| directory.find(child.as_str()).unwrap().id.clone())
                .collect();
            of.sort();
            let told = [
                person.forename,
                person.surname,
                person.year_code,
                person.registration,
            ];
            let told = told.into_iter().flatten().chain(of).collect();
            all[place].insert(person.id, told);
        }
    }
    all
}

/// Requests a sync and runs it.
pub(crate) async fn sync(markback: &Markback, school: &SchoolId, ask: SyncRequest) -> SyncRecord {
    let id = markback
        .sync()
        .ask(&settings_of(markback, school), ask)
        .await
        .unwrap();
    done(markback, school, &id).await
}

/// Runs the queue until a sync is finished.
pub(crate) async fn done(markback: &Markback, school: &SchoolId, id: &str) -> SyncRecord {
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (rosters, stop) = (markback.sync().clone(), stop.clone());
        async move { rosters.run_workers(stop).await }
    });
    let record = ended(markback, school, id).await;
    stop.cancel();
    workers.await.unwrap();
    record
}

/// Runs the queue until a sync is finished, and moves the clock by this time whenever there is nothing to do.
pub(crate) async fn done_in_time(
    stage: &Stage,
    markback: &Markback,
    school: &SchoolId,
    id: &str,
    step: Duration,
) -> SyncRecord {
    let passing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let stats = markback.outbox().stats().await.unwrap();
            if stats
                .get("roster")
                .is_some_and(|queue| queue.leased + queue.lapsed == 0)
            {
                stage.pass(step);
            }
        }
    };
    tokio::select! {
        record = done(markback, school, id) => record,
        () = passing => unreachable!("time does not end"),
    }
}

/// Waits for the end of a sync that another task runs.
pub(crate) async fn ended(markback: &Markback, school: &SchoolId, id: &str) -> SyncRecord {
    let record = async || markback.store().sync(school, id).await.unwrap().unwrap();
    harness::wait_until("the sync has ended", async || {
        record().await.state.is_final()
    })
    .await;
    record().await
}

pub(crate) async fn synced(markback: &Markback, school: &SchoolId) -> SyncRecord {
    let record = sync(markback, school, SyncRequest::default()).await;
    assert_eq!(record.state, SyncState::Done, "{record:?}");
    record
}

pub(crate) fn settings_of(markback: &Markback, school: &SchoolId) -> School {
    markback.school(school).unwrap()
}

/// The current ids of a group's members.
pub(crate) async fn ids(markback: &Markback, school: &SchoolId, group: &str) -> Vec<String> {
    let page = markback
        .store()
        .group_people(school, group)
        .await
        .unwrap()
        .unwrap();
    let mut ids: Vec<_> = page
        .people
        .into_iter()
        .map(|member| member.person.id)
        .collect();
    ids.sort();
    ids
}

/// All groups as ids.
pub(crate) async fn groups(
    markback: &Markback,
    school: &SchoolId,
) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::new();
    for name in ["Pupils", "Staff", "Parents"] {
        groups.insert(name.to_owned(), ids(markback, school, name).await);
    }
    groups
}
