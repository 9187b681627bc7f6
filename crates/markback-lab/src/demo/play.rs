//! Plays the morning: posts each event at its time, and polls it until it is finished.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    morning::{self, Event, Morning, Planned},
    record::Record,
    stage::Stage,
};

/// Duration of the morning in seconds.
const PLAYS_FOR: f64 = 6.0;
/// The additional speed of the clock after the last event, when there is only waiting left.
const AFTERWARDS: f64 = 60.0;
/// Events in one request at most.
const BATCH: usize = 200;
/// The polling interval of the clock.
const TICK: Duration = Duration::from_millis(10);
/// How long the service has to settle everything, in real time.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct TakenIn {
    events: Vec<Receipt>,
}

#[derive(Deserialize)]
struct Receipt {
    id: String,
}

/// Posts every event at its time. Returns how many were sent again.
pub(super) async fn play(stage: &Stage, morning: &Morning) -> anyhow::Result<usize> {
    let bars = MultiProgress::new();
    let (posted, settled) = (
        bar(&bars, morning, "sent in"),
        bar(&bars, morning, "settled"),
    );
    let http = Client::builder().no_proxy().build()?;
    let length = morning::LENGTH.as_seconds_f64();
    stage.clock.run_at(length / PLAYS_FOR);
    let mut resent = 0;
    let mut rest = morning.events.as_slice();
    while !rest.is_empty() {
        let now = stage.now();
        let due = rest
            .partition_point(|planned| planned.arrives <= now)
            .min(BATCH);
        let (come, later) = rest.split_at(due);
        for (school, events) in by_school(come) {
            resent += post(&http, stage, school, &events).await?;
        }
        posted.inc(u64::try_from(due).unwrap_or_default());
        settled.set_position(settled_so_far(stage).await?);
        rest = later;
        if due < BATCH {
            tokio::time::sleep(TICK).await;
        }
    }
    bars.clear()?;
    Ok(resent)
}

/// Waits until every event is finished, polling the service for each.
pub(super) async fn settled(stage: &Stage, morning: &Morning) -> anyhow::Result<Vec<Record>> {
    let bars = MultiProgress::new();
    let settled = bar(&bars, morning, "settled");
    stage.clock.run_at(AFTERWARDS);
    let all = async {
        loop {
            settled.set_position(settled_so_far(stage).await?);
            if stage.markback.is_settled().await? {
                return anyhow::Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(SETTLE_WITHIN, all).await.with_context(|| {
        format!(
            "not every event was settled within {} seconds; the machine may be busy, try again with fewer --events",
            SETTLE_WITHIN.as_secs()
        )
    })??;
    bars.clear()?;
    let http = Client::builder().no_proxy().build()?;
    let mut records = Vec::with_capacity(morning.events.len());
    for planned in &morning.events {
        let url = format!(
            "{}/{}",
            events_url(stage, planned.school)?,
            planned.event.id
        );
        records.push(send(stage, http.get(url), StatusCode::OK).await?);
    }
    Ok(records)
}

async fn settled_so_far(stage: &Stage) -> anyhow::Result<u64> {
    let tally = stage.markback.tally().await?;
    let settled = tally.iter().filter(|((_, state), _)| state.is_final());
    Ok(settled.map(|(_, count)| count).sum())
}

fn by_school(events: &[Planned]) -> BTreeMap<usize, Vec<&Planned>> {
    let mut schools = BTreeMap::<_, Vec<_>>::new();
    for planned in events {
        schools.entry(planned.school).or_default().push(planned);
    }
    schools
}

/// Posts one event alone and several as a list, as sign-in systems do. A repeated request must have the same response.
async fn post(
    http: &Client,
    stage: &Stage,
    school: usize,
    events: &[&Planned],
) -> anyhow::Result<usize> {
    let url = events_url(stage, school)?;
    let taken: TakenIn = match events {
        [one] => {
            send(
                stage,
                http.post(&url).json(&one.event),
                StatusCode::ACCEPTED,
            )
            .await?
        }
        many => {
            let many: Vec<&Event> = many.iter().map(|planned| &planned.event).collect();
            send(stage, http.post(&url).json(&many), StatusCode::ACCEPTED).await?
        }
    };
    let ids = taken.events.iter().map(|receipt| receipt.id.as_str());
    ensure!(
        ids.eq(events.iter().map(|planned| planned.event.id.as_str())),
        "the service responded about other events than those sent"
    );
    let again: Vec<_> = events.iter().filter(|planned| planned.resent).collect();
    for planned in &again {
        let _: TakenIn = send(
            stage,
            http.post(&url).json(&planned.event),
            StatusCode::ACCEPTED,
        )
        .await?;
    }
    Ok(again.len())
}

async fn send<T: DeserializeOwned>(
    stage: &Stage,
    request: RequestBuilder,
    wanted: StatusCode,
) -> anyhow::Result<T> {
    let response = request.bearer_auth(&stage.key).send().await?;
    let status = response.status();
    if status != wanted {
        let body = response.text().await.unwrap_or_default();
        anyhow::bail!("the service answered {status} instead of {wanted}: {body}");
    }
    Ok(response.json().await?)
}

fn events_url(stage: &Stage, school: usize) -> anyhow::Result<String> {
    let school = stage
        .schools
        .get(school)
        .context("the morning belongs to other schools")?;
    Ok(format!(
        "{}/v1/schools/{}/events",
        stage.address(),
        school.id
    ))
}

/// A progress bar on standard error; hidden without a terminal.
fn bar(bars: &MultiProgress, morning: &Morning, what: &'static str) -> ProgressBar {
    let length = u64::try_from(morning.events.len()).unwrap_or(u64::MAX);
    let bar = bars.add(ProgressBar::new(length));
    if let Ok(style) = ProgressStyle::with_template("  {msg:8} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}
