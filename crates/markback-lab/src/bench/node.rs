//! A node: `markback serve` in a separate process.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Stdio, time::Duration};

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

    /// The bounds, in seconds, that 99 % of the samples of a histogram kept, by the value of its only label.
    pub(super) async fn slowest(
        &self,
        http: &Client,
        histogram: &str,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let answer = http.get(format!("{}/metrics", self.address)).send().await?;
        Ok(slowest(&answer.text().await?, histogram))
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

/// Reads the bounds from Prometheus' text format: `name_bucket{part="queue",le="0.02"} 17`, the lowest bound first and
/// each count with those below it.
fn slowest(text: &str, histogram: &str) -> BTreeMap<String, f64> {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for line in text.lines() {
        let bucket = || {
            let rest = line.strip_prefix(histogram)?.strip_prefix("_bucket{")?;
            let (labels, count) = rest.split_once("} ")?;
            let (label, bound) = labels.split_once(",le=\"")?;
            let (_, value) = label.split_once("=\"")?;
            let bound = match bound.trim_end_matches('"') {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().ok()?,
            };
            let value = value.trim_end_matches('"').to_owned();
            Some((value, (bound, count.parse().ok()?)))
        };
        if let Some((value, bucket)) = bucket() {
            buckets.entry(value).or_default().push(bucket);
        }
    }
    let bound = |(value, buckets): (String, Vec<(f64, f64)>)| {
        let (_, all) = buckets.last().copied()?;
        let kept = buckets.iter().find(|(_, count)| *count >= all * 0.99)?;
        Some((value, kept.0))
    };
    buckets.into_iter().filter_map(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_histogram_are_read_by_label() {
        let text = "# TYPE took histogram\n\
                    took_bucket{part=\"a\",le=\"0.1\"} 98\n\
                    took_bucket{part=\"a\",le=\"0.2\"} 99\n\
                    took_bucket{part=\"a\",le=\"+Inf\"} 100\n\
                    took_sum{part=\"a\"} 3\n\
                    took_bucket{part=\"b\",le=\"0.1\"} 0\n\
                    took_bucket{part=\"b\",le=\"+Inf\"} 2\n\
                    other_bucket{part=\"a\",le=\"0.1\"} 7\n";
        let expected = [("a".to_owned(), 0.2), ("b".to_owned(), f64::INFINITY)];
        assert_eq!(slowest(text, "took"), expected.into());
        assert_eq!(slowest(text, "none"), BTreeMap::new());
    }
}
