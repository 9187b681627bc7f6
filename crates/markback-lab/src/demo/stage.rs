//! The demo's environment: a sandbox with schools, a settings file, and the running service.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use mis_core::SchoolId;
use outbox::Clock as _;
use rand::RngExt as _;
use secrecy::SecretString;
use tempfile::TempDir;
use wonde_sandbox::{Sandbox, SandboxOptions};

use super::{
    Pages,
    clock::StageClock,
    compare::{self, Marks},
    morning,
    schools::{School, schools},
};
use markback::{
    operator::Actor,
    pipeline::WorkerConfig,
    service::{Markback, Options},
    settings,
    users::{self, NewUser, Role},
};
use markback_http::server::Running;

/// SIMS, Arbor, ScholarPack, Bromcom and iSAMS: session marks, marks on lessons, and no marks at all.
const SCHOOLS: u32 = 5;
/// The delay from accepting a register to the mark in the MIS, by the demo's clock.
const WRITE_DELAY: Duration = Duration::from_secs(90);
/// The interval between two extractions into Wonde's copy, by the demo's clock.
const EXTRACTION_EVERY: Duration = Duration::from_secs(15 * 60);

/// The name of the user for the pages.
pub(super) const USER: &str = "office";

/// The speed of the clock after the morning, while the service keeps running.
const SPEED_AFTERWARDS: f64 = 10.0;
/// How long the service may take to read the schools' people, in real time.
const PEOPLE_WITHIN: Duration = Duration::from_secs(30);

/// Everything set up and running.
pub(super) struct Stage {
    pub(super) clock: Arc<StageClock>,
    pub(super) sandbox: Sandbox,
    pub(super) schools: Vec<School>,
    pub(super) markback: Markback,
    pub(super) running: Running,
    pub(super) key: String,
    pub(super) folder: TempDir,
}

impl Stage {
    /// Creates the environment. The clock starts a little before the morning and runs at normal speed.
    pub(super) async fn set(seed: u64, events: usize, pages: Pages) -> anyhow::Result<Self> {
        let clock = Arc::new(StageClock::starting_at(
            morning::begins() - TimeDelta::minutes(10),
        ));
        let sandbox = sandbox(seed, events, clock.clone()).await?;
        let schools = schools(&sandbox)?;
        let folder = TempDir::with_prefix("markback-demo-")
            .context("the temporary folder cannot be created")?;
        let key = random_key();
        let path = folder.path().join("markback.toml");
        for (name, text) in [
            ("markback.toml", toml(&sandbox, &schools, &folder)),
            ("wonde-token", sandbox.token()),
            ("api-key", key.clone()),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let options = Options {
            clock: clock.clone(),
            workers: Some(WorkerConfig {
                // In real time, because the clock runs ahead of it.
                poll: Duration::from_millis(20),
                // By the demo's clock: no other node can take over.
                lease: Duration::from_secs(24 * 60 * 60),
                confirm_after: Duration::from_secs(60),
                ..WorkerConfig::default()
            }),
            ..Options::default()
        };
        let markback = Markback::open(settings::load(&path)?.settings, options).await?;
        let running = Running::start_with(markback.clone(), pages(markback.clone())).await?;
        people_known(&markback, &schools).await?;
        Ok(Self {
            clock,
            sandbox,
            schools,
            markback,
            running,
            key,
            folder,
        })
    }

    /// Adds a user who may do everything on the pages. Returns the password.
    pub(super) async fn add_user(&self) -> anyhow::Result<String> {
        let password = random_key();
        let user = NewUser {
            name: USER.to_owned(),
            shown: "Demo".to_owned(),
            role: Role::Admin,
            schools: None,
        };
        let actor = Actor {
            via: "demo",
            ..Actor::default()
        };
        let secret = SecretString::from(password.as_str());
        users::add(self.markback.store(), &user, &secret, &actor).await?;
        Ok(password)
    }

    /// The time by the demo's clock.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The service's address.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The current marks of each school's MIS.
    pub(super) fn marks(&self) -> anyhow::Result<BTreeMap<String, Marks>> {
        self.schools
            .iter()
            .map(|school| {
                let marks = self.sandbox.mis_marks(&school.id)?;
                Ok((school.id.clone(), compare::held(&marks)))
            })
            .collect()
    }

    /// Continues after the morning for manual tests: marks are confirmed within seconds, and the day does not end for
    /// at least half an hour.
    pub(super) fn go_on(&self) {
        self.clock.run_at(SPEED_AFTERWARDS);
        self.sandbox.set_write_delay(WRITE_DELAY / 6);
    }

    /// Stops everything.
    pub(super) async fn strike(self) -> anyhow::Result<()> {
        self.running.stop().await?;
        self.sandbox.stop().await;
        Ok(())
    }
}

/// Waits until the service has read the schools' people, because it then rejects unknown people at once.
async fn people_known(markback: &Markback, schools: &[School]) -> anyhow::Result<()> {
    let known = async {
        let ids: Vec<_> = schools
            .iter()
            .map(|school| SchoolId::from(school.id.as_str()))
            .collect();
        while !ids.iter().all(|id| markback.people().knows(id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PEOPLE_WITHIN, known)
        .await
        .context("the service could not read the schools' people in time; the machine may be busy, try again")
}

async fn sandbox(seed: u64, events: usize, clock: Arc<StageClock>) -> anyhow::Result<Sandbox> {
    let share = events.div_ceil(SCHOOLS as usize);
    let options = SandboxOptions {
        seed,
        schools: SCHOOLS,
        // Some people are not on roll, and some do not arrive.
        pupils_per_school: u32::try_from(share * 3 / 2)
            .unwrap_or(u32::MAX)
            .clamp(120, 10_000),
        clock: Arc::new(move || clock.now()),
        write_delay: WRITE_DELAY,
        extraction_every: EXTRACTION_EVERY,
        ..SandboxOptions::default()
    };
    Ok(Sandbox::start(options).await?)
}

/// The settings file, like that of a real school.
fn toml(sandbox: &Sandbox, schools: &[School], folder: &TempDir) -> String {
    let mut toml = format!(
        "listen = \"127.0.0.1:0\"\napi_key_file = \"api-key\"\nstore = {:?}\nwonde_url = {:?}\n{SETTINGS}",
        format!("sqlite:{}", folder.path().join("markback.db").display()),
        sandbox.base_url(),
    );
    for school in schools {
        let primary = school.pupils.iter().any(|(_, year)| year == "1");
        let template = if primary { "primary" } else { "secondary" };
        // Writing to a string cannot fail.
        let _ = write!(
            toml,
            "\n[[school]]\nid = {:?}\nname = {:?}\ntemplate = {template:?}\n",
            school.id, school.name
        );
    }
    toml
}

const SETTINGS: &str = r#"
rate_per_minute = 60000
# By the demo's clock, which is fast.
pages = { idle = "7d", absolute = "7d" }
gather = { window = "45s", max = 200 }

[[template]]
name = "secondary"
timezone = "Europe/London"
token_file = "wonde-token"

[[template.group]]
name = "Years 7-11"
kind = "students"
years = ["7", "8", "9", "10", "11"]
message = "Welcome. If you are late, tell us why."

[[template.group.field]]
name = "Reason for being late"
on = "sign_in"
options = [
    "Bus",
    "Overslept",
    "M - Medical appointment",
    { text = "E-scooter broke down", code = false },
    { text = "Sent on an errand", write = false },
]

[[template.group.field]]
name = "Reason for leaving"
on = "sign_out"
options = ["M - Dentist", "Going home ill"]

[template.group.writeback]
present = true
closes = "15:30"
leaver_code = "I"
protected = ["/", "\\", "M"]
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
custom_codes = { sign_in = "Reason for being late", sign_out = "Reason for leaving" }
comment = { sign_in = "Reason for being late" }

[[template.group]]
name = "Sixth form"
kind = "students"
years = ["12", "13"]

[template.group.writeback]
closes = "16:00"
am = { starts = "08:50", late = "09:00" }

[[template.group]]
name = "Staff"
kind = "staff"

[[template.group]]
name = "Parents"
kind = "parents"
of = "Years 7-11"
parental_responsibility = true

[[template]]
name = "primary"
timezone = "Europe/London"
token_file = "wonde-token"

[[template.group]]
name = "Pupils"
kind = "students"

[[template.group.field]]
name = "Reason for being late"
on = "sign_in"
options = ["Bus", "Overslept", "M - Medical appointment"]

[template.group.writeback]
present = true
closes = "15:15"
am = { late = "09:00", unauthorised = "09:20" }
comment = { sign_in = "Reason for being late" }

[[template.group]]
name = "Staff"
kind = "staff"

[[template.group]]
name = "Parents"
kind = "parents"
of = "Pupils"
parental_responsibility = true
"#;

fn random_key() -> String {
    format!("demo-{:032x}", rand::rng().random::<u128>())
}
