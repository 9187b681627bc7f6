//! A school's morning, pupil by pupil: how many requests it takes, and how long marks wait.
//!
//! Nobody waits half an hour for this: sandbox and service run in this process on one clock, [`SPEED`] times as fast as
//! real time. The service's own work takes that much longer on this clock, so waits are overstated by up to a
//! second; requests do not depend on it. The mornings that have aims run at the same time, and then those of the curve, each
//! with a sandbox, a service and a database of its own.

use std::{fmt::Write as _, net::TcpListener, sync::Arc, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use markback::{
    pipeline::WorkerConfig,
    service::{Markback, Options},
    settings,
};
use markback_http::server::Running;
use mis_core::SchoolId;
use outbox::{Clock as _, on_pool};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tempfile::TempDir;
use wonde_sandbox::{RequestCounts, Sandbox, SandboxOptions};

use super::stage::TEMPLATE;
use crate::demo::clock::StageClock;

/// How many times as fast as real time the mornings pass, unless another speed is named.
pub(super) const SPEED: u32 = 10;
/// The pupils who come, and the time in which they do.
pub(super) const PUPILS: usize = 1_500;
pub(super) const LASTS: Duration = Duration::from_secs(30 * 60);
/// How long before the others the first pupils come, how many, and how far apart, so that each has a register.
const BEFORE: TimeDelta = TimeDelta::minutes(20);
const EARLY: usize = 2;
const EARLY_APART: TimeDelta = TimeDelta::minutes(1);
/// How long the MIS takes to have a mark that Wonde has accepted.
pub(super) const MIS_DELAY: Duration = Duration::from_secs(120);
/// The longest waits for others that the curve shows; the default is among them.
const CURVE: [u64; 6] = [0, 10, 20, 30, 60, 120];
/// The time limit after the last pupil, on the mornings' clock, and that for getting ready, in real time.
const SETTLED_WITHIN: TimeDelta = TimeDelta::minutes(60);
const READY_WITHIN: Duration = Duration::from_secs(600);
/// How often is looked whether something has happened, in real time.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How the pupils come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// One after the other at equal distances.
    Even,
    /// Most of them shortly before the bell: a third of them in five minutes, few at the beginning and at the end.
    Rush,
}

/// One morning to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) flow: Flow,
    /// Whether Wonde sends webhooks.
    pub(super) webhooks: bool,
    /// The longest wait for others; `None` takes the default.
    pub(super) window: Option<Duration>,
}

/// What a morning took.
pub(super) struct Morning {
    pub(super) setup: Setup,
    pub(super) requests: RequestCounts,
    /// From intake to acceptance, in milliseconds.
    pub(super) accepted: Histogram<u64>,
    /// From intake to the final state, in milliseconds.
    pub(super) settled: Histogram<u64>,
}

/// The mornings that are measured: those with aims, and those of the curve.
pub(super) fn setups() -> [Vec<Setup>; 2] {
    let usual = [Flow::Rush, Flow::Even].into_iter().flat_map(|flow| {
        [false, true].map(|webhooks| Setup {
            flow,
            webhooks,
            window: None,
        })
    });
    let curve = CURVE.iter().map(|seconds| Setup {
        flow: Flow::Rush,
        webhooks: false,
        window: Some(Duration::from_secs(*seconds)),
    });
    [usual.collect(), curve.collect()]
}

/// Measures these mornings at the same time.
pub(super) async fn measure(setups: &[Setup], speed: u32) -> anyhow::Result<Vec<Morning>> {
    // A Monday in winter, when London is on UTC.
    let clock = Arc::new(StageClock::starting_at("2026-11-23T07:45:00Z".parse()?));
    // One after the other: reading people and registers is the most work of all.
    let open = async {
        let mut schools = Vec::with_capacity(setups.len());
        for setup in setups {
            schools.push(School::open(*setup, clock.clone()).await?);
        }
        anyhow::Ok(schools)
    };
    let schools = tokio::time::timeout(READY_WITHIN, open)
        .await
        .context("the schools' people and registers were not read in time")??;
    let begins = clock.now() + BEFORE;
    clock.run_at(speed.into());
    let mornings = schools.into_iter().map(|school| school.live(begins, speed));
    try_join_all(mornings).await
}

/// A school with its sandbox and service.
struct School {
    setup: Setup,
    clock: Arc<StageClock>,
    sandbox: Sandbox,
    markback: Markback,
    running: Running,
    id: SchoolId,
    pupils: Vec<String>,
    _folder: TempDir,
}

impl School {
    /// Opens it and waits until everything has been read once, as is the case before a morning.
    async fn open(setup: Setup, clock: Arc<StageClock>) -> anyhow::Result<Self> {
        // Both sides need the other's address before they start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let secret = format!("bench-{:032x}", rand::rng().random::<u128>());
        let webhook = format!("http://127.0.0.1:{port}/webhooks/wonde/{secret}");
        let time = clock.clone();
        let sandbox = Sandbox::start(SandboxOptions {
            schools: 1,
            pupils_per_school: u32::try_from(PUPILS * 6 / 5)?,
            clock: Arc::new(move || time.now()),
            write_delay: MIS_DELAY,
            webhook_url: setup.webhooks.then_some(webhook),
            ..SandboxOptions::default()
        })
        .await?;
        let school = sandbox.schools().into_iter().next();
        let school = school.context("the sandbox has no school")?;
        let pupils = sandbox.students(&school.id)?.into_iter();
        let pupils: Vec<_> = pupils
            .filter(|pupil| pupil.on_roll)
            .map(|pupil| pupil.id)
            .take(EARLY + PUPILS)
            .collect();
        anyhow::ensure!(
            pupils.len() == EARLY + PUPILS,
            "the sandbox has too few pupils"
        );
        let folder = TempDir::with_prefix("markback-bench-")?;
        let mut toml = format!(
            "listen = \"127.0.0.1:{port}\"\napi_key_file = \"api-key\"\nwebhook_secret_file = \"webhook-secret\"\n\
             store = {:?}\nwonde_url = {:?}\n",
            format!("sqlite:{}", folder.path().join("markback.db").display()),
            sandbox.base_url(),
        );
        if let Some(window) = setup.window {
            let _ = writeln!(toml, "gather = {{ window = \"{}s\" }}", window.as_secs());
        }
        let _ = write!(
            toml,
            "{TEMPLATE}\n[[school]]\nid = {:?}\ntemplate = \"school\"\n",
            school.id
        );
        for (name, text) in [
            ("markback.toml", toml),
            ("wonde-token", sandbox.token()),
            ("api-key", format!("{secret}-key")),
            ("webhook-secret", secret),
        ] {
            std::fs::write(folder.path().join(name), text)?;
        }
        let settings = settings::load(&folder.path().join("markback.toml"))?.settings;
        let workers = WorkerConfig {
            // In real time, while the clock runs ahead of it.
            poll: Duration::from_millis(10),
            // On the mornings' clock, where this process is slow. Nobody else is there to take anything over, but a step
            // that could not be committed is repeated after this time.
            lease: Duration::from_secs(5 * 60),
            ..WorkerConfig::of(settings.service.workers)
        };
        let options = Options {
            clock: clock.clone(),
            workers: Some(workers),
            ..Options::default()
        };
        let markback = Markback::open(settings, options).await?;
        let running = Running::start(markback.clone()).await?;
        let id = SchoolId::from(school.id.as_str());
        let read = async || {
            let reading = markback.store().register_reading(&id).await?;
            anyhow::Ok(reading.is_some_and(|reading| reading.read_at.is_some()))
        };
        while !(markback.people().knows(&id) && read().await?) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Self {
            setup,
            clock,
            sandbox,
            markback,
            running,
            id,
            pupils,
            _folder: folder,
        })
    }

    async fn live(self, begins: DateTime<Utc>, speed: u32) -> anyhow::Result<Morning> {
        // The first pupils come long before the others, so that the connection is open, and it is known how long the MIS
        // takes and whether the list of writebacks can be believed, as on any morning but a service's first.
        let (early, others) = self.pupils.split_at(EARLY);
        let mut due = begins - BEFORE;
        for pupil in early {
            self.wait_until(due, speed).await;
            self.sign_in(pupil, due).await?;
            due += EARLY_APART;
        }
        self.settled().await?;
        self.wait_until(begins, speed).await;
        self.sandbox.reset_requests();
        for (pupil, after) in others.iter().zip(arrivals(self.setup.flow)) {
            let due = begins + TimeDelta::from_std(after)?;
            self.wait_until(due, speed).await;
            self.sign_in(pupil, due).await?;
        }
        self.settled().await?;
        let requests = self.sandbox.requests();
        let [accepted, settled] = self.waits(begins).await?;
        self.running.stop().await?;
        self.sandbox.stop().await;
        Ok(Morning {
            setup: self.setup,
            requests,
            accepted,
            settled,
        })
    }

    async fn sign_in(&self, pupil: &str, at: DateTime<Utc>) -> anyhow::Result<()> {
        let event = json!({
            "id": format!("bench-{pupil}"), "person": pupil, "kind": "sign_in", "at": at.to_rfc3339(),
        });
        self.markback.intake(&self.id, vec![event]).await?;
        Ok(())
    }

    async fn settled(&self) -> anyhow::Result<()> {
        let until = self.clock.now() + SETTLED_WITHIN;
        while !self.markback.is_settled().await? {
            anyhow::ensure!(
                self.clock.now() < until,
                "the marks were not confirmed in time"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn wait_until(&self, due: DateTime<Utc>, speed: u32) {
        while let Ok(left) = (due - self.clock.now()).to_std()
            && !left.is_zero()
        {
            tokio::time::sleep((left / speed).max(Duration::from_millis(1))).await;
        }
    }

    /// How long each mark took to be accepted, and to be settled.
    async fn waits(&self, begins: DateTime<Utc>) -> anyhow::Result<[Histogram<u64>; 2]> {
        const WAITS: &str = "SELECT accepted_ms - received_ms, settled_ms - received_ms FROM markback_events \
                             WHERE accepted_ms IS NOT NULL AND settled_ms IS NOT NULL AND received_ms >= $1";
        let rows: Vec<(i64, i64)> = on_pool!(self.markback.store().database(), pool => {
            sqlx::query_as(WAITS).bind(begins.timestamp_millis()).fetch_all(pool).await
        })?;
        let (mut accepted, mut settled) = (Histogram::new(3)?, Histogram::new(3)?);
        for (until_accepted, until_settled) in rows {
            accepted.record(u64::try_from(until_accepted).unwrap_or_default())?;
            settled.record(u64::try_from(until_settled).unwrap_or_default())?;
        }
        Ok([accepted, settled])
    }
}

/// When the pupils come, counted from the beginning: the same in every run.
fn arrivals(flow: Flow) -> Vec<Duration> {
    let share = |n: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a count of pupils")]
        let share = n as f64 / PUPILS as f64;
        share
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut times: Vec<f64> = match flow {
        Flow::Even => (0..PUPILS).map(share).collect(),
        Flow::Rush => std::iter::repeat_with(|| {
            // Twelve chances add up to a bell curve around six, with a deviation of one.
            let chances: f64 = (0..12).map(|_| random.random::<f64>()).sum();
            0.6 + (chances - 6.0) / 5.0
        })
        .filter(|time| (0.0..1.0).contains(time))
        .take(PUPILS)
        .collect(),
    };
    times.sort_by(f64::total_cmp);
    times.into_iter().map(|time| LASTS.mul_f64(time)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pupils_come_in_time_and_in_order() {
        for flow in [Flow::Even, Flow::Rush] {
            let times = arrivals(flow);
            assert_eq!(times.len(), PUPILS);
            assert!(times.is_sorted() && times.iter().all(|time| *time < LASTS));
            assert_eq!(times, arrivals(flow));
        }
    }

    #[test]
    fn in_a_rush_a_third_comes_in_five_minutes() {
        let times = arrivals(Flow::Rush);
        let most = times
            .iter()
            .map(|from| {
                let within = |time: &&Duration| {
                    **time >= *from && **time < *from + Duration::from_secs(5 * 60)
                };
                times.iter().filter(within).count()
            })
            .max();
        assert!(
            most.is_some_and(|most| (PUPILS * 3 / 10..=PUPILS * 4 / 10).contains(&most)),
            "{most:?}"
        );
    }
}
