//! `markback status`: how the service stands, as its store has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use markback_console::block_on;
use mis_core::wonde::SchoolId;
use serde::Serialize;

use super::{
    ConfigArg,
    events::{Paused, about, pauses, time},
    open_store::open_store,
};
use markback::{
    settings::{self, Settings},
    store::{EventState, Notice, Store},
};
use markback_console::output::{self, TableOrJson};

/// Where the store is, and how to tell.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Serialize)]
struct Status {
    schools: Vec<SchoolStatus>,
    queues: BTreeMap<String, QueueStatus>,
    pauses: Vec<Paused>,
    notices: Vec<Notice>,
}

#[derive(Serialize)]
struct SchoolStatus {
    id: String,
    mis: Option<String>,
    groups: usize,
    people_read: bool,
    /// The syncs by the clock are paused until then.
    sync_paused_until: Option<DateTime<Utc>>,
    events: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct QueueStatus {
    ready: u64,
    later: u64,
    paused: u64,
    held: u64,
    dead: u64,
    oldest_seconds: Option<u64>,
}

/// Reads and prints it.
///
/// # Errors
/// When the settings do not hold, or the store does not answer.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings::load(&args.config.path)?.settings;
    let status = block_on(async {
        let store = open_store(&settings).await?;
        Ok(Status::read(&settings, &store).await?)
    })?;
    match args.format {
        TableOrJson::Json => output::json(&status)?,
        TableOrJson::Table => output::line(status.told())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Status {
    async fn read(settings: &Settings, store: &Store) -> outbox::Result<Self> {
        let mut counted: BTreeMap<SchoolId, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for ((school, state), count) in store.tally().await? {
            counted
                .entry(school)
                .or_default()
                .insert(state.word(), count);
        }
        let known: BTreeSet<_> = store.schools_ready().await?.into_iter().collect();
        let paused: BTreeMap<SchoolId, DateTime<Utc>> =
            store.paused_syncs().await?.into_iter().collect();
        let schools = settings.schools.iter().map(|school| SchoolStatus {
            id: school.id.to_string(),
            mis: school.mis.as_deref().map(str::to_owned),
            groups: school.groups.len(),
            people_read: known.contains(&school.id),
            sync_paused_until: paused.get(&school.id).copied(),
            events: counted.remove(&school.id).unwrap_or_default(),
        });
        let mut schools: Vec<_> = schools.collect();
        // Schools that were taken out of the settings, and whose events are still kept.
        schools.extend(counted.into_iter().map(|(id, events)| SchoolStatus {
            id: id.to_string(),
            mis: None,
            groups: 0,
            people_read: known.contains(&id),
            sync_paused_until: None,
            events,
        }));
        let queues = store.outbox().stats().await?.into_iter();
        let queues = queues.map(|(queue, stats)| {
            let status = QueueStatus {
                ready: stats.ready,
                later: stats.later,
                paused: stats.paused,
                held: stats.leased + stats.lapsed,
                dead: stats.dead,
                oldest_seconds: stats.oldest_open.map(|age| age.as_secs()),
            };
            (queue, status)
        });
        Ok(Self {
            schools,
            queues: queues.collect(),
            pauses: pauses(store).await?,
            notices: store.notices().await?,
        })
    }

    fn told(&self) -> String {
        let mut text = self.schools_table();
        if self.queues.is_empty() {
            text += "\n\nnothing is on its way";
        } else {
            let _ = write!(text, "\n\n{}", self.queues_table());
        }
        for pause in &self.pauses {
            let _ = write!(text, "\n{}", pause.line());
        }
        for school in &self.schools {
            if let Some(until) = school.sync_paused_until {
                let _ = write!(
                    text,
                    "\nschool {}: its people are not read by the clock until {}; `markback sync --resume` goes on",
                    school.id,
                    time(Some(until))
                );
            }
        }
        for notice in &self.notices {
            let _ = write!(
                text,
                "\n{}  school {}: {}",
                time(Some(notice.last_at)),
                notice.school,
                notice.words
            );
        }
        text
    }

    fn schools_table(&self) -> String {
        let rows = self.schools.iter().map(|school| {
            let count = |state: EventState| school.events.get(state.word()).copied().unwrap_or(0);
            let open = EventState::ALL
                .into_iter()
                .filter(|state| !state.is_final());
            let rests = self.pauses.iter().any(|pause| pause.is_of(&school.id));
            [
                school.id.clone(),
                school
                    .mis
                    .clone()
                    .unwrap_or_else(|| "asked of Wonde".to_owned()),
                if school.people_read {
                    "read"
                } else {
                    "not yet"
                }
                .to_owned(),
                open.map(count).sum::<u64>().to_string(),
                count(EventState::Confirmed).to_string(),
                count(EventState::Skipped).to_string(),
                count(EventState::Failed).to_string(),
                count(EventState::Rejected).to_string(),
                count(EventState::Unconfirmed).to_string(),
                if rests { "yes" } else { "" }.to_owned(),
            ]
        });
        let columns = [
            "school",
            "MIS",
            "people",
            "open",
            "confirmed",
            "skipped",
            "failed",
            "rejected",
            "unconfirmed",
            "rests",
        ];
        output::table(columns, rows).to_string()
    }

    fn queues_table(&self) -> String {
        let rows = self.queues.iter().map(|(queue, stats)| {
            [
                queue.clone(),
                stats.ready.to_string(),
                stats.later.to_string(),
                stats.paused.to_string(),
                stats.held.to_string(),
                stats.dead.to_string(),
                stats
                    .oldest_seconds
                    .map(|age| about(std::time::Duration::from_secs(age)))
                    .unwrap_or_default(),
            ]
        });
        let columns = [
            "queue", "ready", "later", "paused", "held", "dead", "oldest",
        ];
        output::table(columns, rows).to_string()
    }
}
