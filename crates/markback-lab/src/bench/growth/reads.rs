//! What pages, the API and pruning do with what is stored, as the product does it.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use markback::{
    feed::{FeedFilter, FeedQuery},
    overview,
    service::{EventState, Markback, Options},
    settings,
    store::EventFilter,
};
use mis_core::SchoolId;
use outbox::on_pool;

use super::fill::{Filled, Morning};
use crate::bench::stage::{Stage, TEMPLATE};

/// How often each is repeated; the median counts.
const REPEATS: usize = 9;
/// The school days on which a draft is tried.
const TRIED_DAYS: u32 = 5;
/// How many of a person's latest events are read: everybody has as many at each size, so that what is read does not grow.
const OF_PERSON: u32 = 4;
/// Events that wait for a person stay.
const UNDECIDED: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
/// How old the old day is at most.
const OLD_DAYS: i64 = 30;

/// The median times, in ms, in the order of `WORK` from "one event" on; the last is per 1,000 events.
pub(super) async fn measure(
    stage: &Stage,
    morning: &Morning,
    filled: &Filled,
    schools: u32,
) -> anyhow::Result<Vec<f64>> {
    let markback = open(stage, morning, filled, schools).await?;
    let figures = figures(&markback, stage, morning, filled, schools).await;
    markback.store().database().close().await;
    figures
}

async fn open(
    stage: &Stage,
    morning: &Morning,
    filled: &Filled,
    schools: u32,
) -> anyhow::Result<Markback> {
    let mut toml = format!(
        "listen = \"127.0.0.1:0\"\napi_key_file = \"api-key\"\nstore = {:?}\nwonde_url = {:?}\n{TEMPLATE}",
        filled.fresh.url,
        stage.sandbox.base_url()
    );
    for number in 0..schools {
        let school = morning.school(number);
        let _ = write!(
            toml,
            "\n[[school]]\nid = {school:?}\ntemplate = \"school\"\n"
        );
    }
    let path = stage.write("reads.toml", &toml)?;
    let settings = settings::load(&path)?.settings;
    Ok(Markback::open(settings, Options::default()).await?)
}

async fn figures(
    markback: &Markback,
    stage: &Stage,
    morning: &Morning,
    filled: &Filled,
    schools: u32,
) -> anyhow::Result<Vec<f64>> {
    // A school with a MIS, whose drafts can be tried.
    let id = SchoolId::from(morning.school(schools.min(9) / 2));
    let school = markback.school(&id).context("the school is not known")?;
    let store = markback.store();
    let (event, person) = an_event(markback, &id).await?;
    let filter = |states: &[EventState], person: Option<&str>| EventFilter {
        school: Some(id.clone()),
        states: states.to_vec(),
        person: person.map(str::to_owned),
        limit: 50,
        ..EventFilter::default()
    };
    let latest = filter(&[], None);
    let of_person = EventFilter {
        limit: OF_PERSON,
        ..filter(&[], Some(&person))
    };
    let problems = filter(
        &[
            EventState::Failed,
            EventState::Rejected,
            EventState::Unconfirmed,
        ],
        None,
    );
    let old = old_day(stage.date, &filled.days).context("no day is stored")?;
    for date in [stage.date, old] {
        let day = markback.day(&school, date).await?;
        anyhow::ensure!(!day.events.is_empty(), "no events were found on {date}");
    }
    let page = FeedQuery {
        limit: 100,
        filter: FeedFilter {
            schools: Some(vec![id.to_string()]),
            ..FeedFilter::default()
        },
        ..FeedQuery::default()
    };
    let draft = draft();
    let report = markback.try_settings(&id, Some(&draft), TRIED_DAYS).await?;
    anyhow::ensure!(
        report.compared > 0 && !report.differences.is_empty(),
        "the trial compared none of {} events",
        report.events
    );
    let configuration = markback.configuration().await;
    let begin = oldest(filled)?.and_time(NaiveTime::MIN).and_utc();
    let all = (store.now() - begin).to_std()?;
    let mut figures = vec![
        median(async || Ok(store.event(&id, &event).await?)).await?,
        median(async || Ok(store.search(&of_person).await?)).await?,
        median(async || Ok(store.search(&latest).await?)).await?,
        median(async || Ok(store.search(&problems).await?)).await?,
        median(async || Ok(markback.day(&school, stage.date).await?)).await?,
        median(async || Ok(markback.day(&school, old).await?)).await?,
        median(async || Ok(markback.try_settings(&id, Some(&draft), TRIED_DAYS).await?)).await?,
        median(async || Ok(markback.feed().page(&page).await?)).await?,
        median(async || Ok(store.open_by_state().await?)).await?,
        median(async || Ok(overview::schools(&configuration, store).await?)).await?,
        median(async || Ok(store.prune(all, UNDECIDED).await?)).await?,
    ];
    figures.push(pruning(markback, filled).await?);
    Ok(figures)
}

/// Removes the oldest day, around events that wait for a person, and returns the ms per 1,000 events.
async fn pruning(markback: &Markback, filled: &Filled) -> anyhow::Result<f64> {
    let until = oldest(filled)?
        .succ_opt()
        .context("the oldest day is the last of all")?;
    let until = until.and_time(NaiveTime::MIN).and_utc();
    let retention = (markback.store().now() - until).to_std()?;
    let begin = Instant::now();
    let pruned = markback.store().prune(retention, UNDECIDED).await?;
    let took = begin.elapsed();
    anyhow::ensure!(pruned.events > 0, "nothing was pruned");
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let thousands = pruned.events as f64 / 1000.0;
    Ok(took.as_secs_f64() * 1000.0 / thousands)
}

/// The oldest day with all its events.
fn oldest(filled: &Filled) -> anyhow::Result<NaiveDate> {
    filled.days.last().copied().context("no day is stored")
}

/// The oldest of the days that is at most [`OLD_DAYS`] old.
fn old_day(today: NaiveDate, days: &[NaiveDate]) -> Option<NaiveDate> {
    days.iter()
        .copied()
        .filter(|day| today - *day <= TimeDelta::days(OLD_DAYS))
        .min()
}

/// An old event of the school, and its person.
async fn an_event(markback: &Markback, school: &SchoolId) -> anyhow::Result<(String, String)> {
    const ONE: &str =
        "SELECT id, person FROM markback_events WHERE school = $1 ORDER BY received_ms LIMIT 1";
    Ok(on_pool!(markback.store().database(), pool => {
        sqlx::query_as(ONE).bind(school.as_str()).fetch_one(pool).await
    })?)
}

/// The template's settings as a school's own, ten minutes stricter.
fn draft() -> String {
    TEMPLATE
        .replace("[[template]]\nname = \"school\"\n", "")
        .replace("template.group", "group")
        .replace("late = \"09:00\"", "late = \"08:50\"")
}

async fn median<T>(work: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let begin = Instant::now();
        work().await?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times.get(REPEATS / 2).copied().context("nothing was timed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_day_is_the_oldest_within_thirty_days() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let days = ["2026-11-26", "2026-10-29", "2026-10-27"].map(day);
        assert_eq!(old_day(day("2026-11-27"), &days), Some(days[1]));
        assert_eq!(old_day(day("2026-11-27"), &[]), None);
    }
}
