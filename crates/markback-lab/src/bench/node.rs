//! A node: `markback serve` in a separate process.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use chrono::{TimeDelta, Utc};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{cores, cpu::processor_time, database::Fresh, stage::Stage};

/// The time limit for a node to start and to load the schools' people.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running node, killed on drop.
pub(super) struct Node {
    process: Child,
    address: String,
}

impl Node {
    /// Starts it and waits until it listens.
    pub(super) async fn start(settings: &Path, store: &Fresh) -> anyhow::Result<Self> {
        Self::start_on(None, settings, store).await
    }

    /// Starts it on these cores, or on all, and waits until it listens.
    pub(super) async fn start_on(
        cores: Option<&[usize]>,
        settings: &Path,
        store: &Fresh,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let log = settings.with_extension("log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--config"])
            .arg(settings)
            .env("MARKBACK_BENCH_STORE", &store.url)
            .env("RUST_LOG", "warn,sqlx=error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut process =
            cores::start(cores, || command.spawn()).context("a node cannot be started")?;
        let out = process.stdout.take().context("a node has no output")?;
        let mut line = String::new();
        let mut out = BufReader::new(out);
        let read = out.read_line(&mut line);
        tokio::time::timeout(READY_WITHIN, read)
            .await
            .context("a node did not listen in time")??;
        match line.trim().split_once("http://") {
            Some((_, address)) => Ok(Self {
                address: format!("http://{address}"),
                process,
            }),
            None => {
                let log = std::fs::read_to_string(settings.with_extension("log"));
                bail!("a node ended at once: {}", log.unwrap_or_default().trim())
            }
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        let address = self.address.trim_start_matches("http://");
        address.parse().context("a node has no address")
    }

    /// The URL for events of a school.
    pub(super) fn events(&self, school: &str) -> String {
        format!("{}/v1/schools/{school}/events", self.address)
    }

    /// Whether it has loaded the people of all schools.
    pub(super) async fn has_read_all(&self, http: &Client) -> anyhow::Result<bool> {
        let answer = http.get(format!("{}/readyz", self.address)).send().await?;
        let ready: Value = answer.json().await?;
        let count = |pointer| ready.pointer(pointer).and_then(Value::as_u64);
        let all =
            count("/people/schools").context("a node does not say how many schools it has")?;
        Ok(count("/people/read") == Some(all))
    }

    /// Waits until it has loaded the schools' people.
    pub(super) async fn knows_people(&self, http: &Client, stage: &Stage) -> anyhow::Result<()> {
        let schools: Vec<&str> = stage.schools.iter().map(|school| &*school.id).collect();
        self.knows(http, stage, &schools).await
    }

    /// Waits until it has loaded the people of these schools.
    pub(super) async fn knows(
        &self,
        http: &Client,
        stage: &Stage,
        schools: &[&str],
    ) -> anyhow::Result<()> {
        let known = async {
            for school in schools {
                while !self.tells_strangers(http, stage, school).await? {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(READY_WITHIN, known)
            .await
            .context("a node did not load the schools' people in time")?
    }

    /// An unknown person's event that is too old is always rejected, but because of the person only once people are
    /// known.
    async fn tells_strangers(
        &self,
        http: &Client,
        stage: &Stage,
        school: &str,
    ) -> anyhow::Result<bool> {
        let event = json!({
            "id": "bench-stranger",
            "person": "bench-stranger",
            "kind": "sign_in",
            "at": Utc::now() - TimeDelta::days(1000),
        });
        let request = http.post(self.events(school)).bearer_auth(&stage.key);
        let answer: Value = request.json(&event).send().await?.json().await?;
        let problems = answer.pointer("/problems").and_then(Value::as_array);
        let problems = problems.context("a node accepted an event that it should refuse")?;
        Ok(problems
            .iter()
            .any(|problem| problem["pointer"] == "/person"))
    }

    /// Its peak memory in MiB, on Linux.
    pub(super) fn peak_memory(&self) -> Option<f64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// The processor time it has used so far.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        processor_time(self.process.id()?)
    }

    /// Stops it.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.process
            .kill()
            .await
            .context("a node cannot be stopped")
    }
}
