//! `markback status`: schools, pending events, paused schools and what is in the way, as the database has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use markback_console::block_on;
use mis_core::SchoolId;
use serde::Serialize;

use super::{
    ConfigArg,
    events::{Paused, about, pauses, time},
    open_store::{Access, open_store},
};
use markback::{
    endpoints::Endpoint,
    schools::token_key,
    settings::{Owner, School, Settings},
    store::{EventState, LearnedLimit, Notice, Overview, Store, Usage},
};
use markback_console::output::{self, TableOrJson};

/// The arguments of `markback status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Serialize)]
struct Status {
    schools: Vec<SchoolStatus>,
    queues: BTreeMap<String, QueueStatus>,
    pauses: Vec<Paused>,
    notices: Vec<Notice>,
    /// Endpoints for webhooks that get nothing, or whose deliveries fail.
    endpoints: Vec<Endpoint>,
    /// How many endpoints have a secret in the database that is not sealed.
    endpoint_secrets_in_clear: u64,
    limits: Vec<LearnedLimit>,
    /// Requests to MISs by token and purpose.
    requests: Vec<Usage>,
}

#[derive(Serialize)]
struct SchoolStatus {
    id: String,
    /// Who keeps its settings; `None` if it was taken out of them.
    owner: Option<Owner>,
    /// The version of its settings.
    version: Option<String>,
    /// The MIS in the settings.
    mis: Option<String>,
    /// The MIS found by the last sync.
    mis_found: Option<String>,
    groups: usize,
    people_read: bool,
    /// Scheduled syncs are paused until then.
    sync_paused_until: Option<DateTime<Utc>>,
    events: BTreeMap<&'static str, u64>,
    /// What blocks the sync of its people or its events.
    last_error: Option<String>,
    /// The pause of the school and its reason.
    paused: Option<Paused>,
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

/// Prints the status.
///
/// # Errors
/// Returns an error if the settings are invalid or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let status = block_on(async {
        let store = open_store(&settings, Access::Read).await?;
        Ok(Status::read(&settings, &store).await?)
    })?;
    match args.format {
        TableOrJson::Json => output::json(&status)?,
        TableOrJson::Table => output::line(status.told())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn in_trouble(endpoint: &Endpoint) -> bool {
    endpoint.state.is_trouble() || endpoint.failing_since.is_some()
}

fn trouble(endpoint: &Endpoint) -> String {
    let Endpoint { id, url, .. } = endpoint;
    let error = endpoint
        .last_error
        .as_deref()
        .unwrap_or("its deliveries fail");
    // An address may hold a secret in its query.
    let host = url.host_str().unwrap_or_default();
    match endpoint.state.is_trouble() {
        true => format!(
            "webhook endpoint {id} at {host} gets nothing any more: {error}; once it works, `markback webhooks enable {id}` \
             and `resend {id} --since …`"
        ),
        false => format!(
            "webhook endpoint {id} at {host} fails since {}: {error}",
            time(endpoint.failing_since)
        ),
    }
}

impl Status {
    async fn read(settings: &Settings, store: &Store) -> outbox::Result<Self> {
        let mut counted: BTreeMap<SchoolId, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for ((school, state), count) in store.tally().await? {
            counted
                .entry(school)
                .or_default()
                .insert(state.as_str(), count);
        }
        let known: BTreeSet<_> = store.schools_ready().await?.into_iter().collect();
        let sync_paused: BTreeMap<SchoolId, DateTime<Utc>> =
            store.paused_syncs().await?.into_iter().collect();
        let pauses = pauses(store).await?;
        let mut overview = store.overview().await?;
        let mut status = |id: &SchoolId, school: Option<&School>, events| {
            let Overview {
                mis_found,
                sync_error,
                waiting,
                calendar_error,
            } = overview.remove(id).unwrap_or_default();
            let lane = school.map(token_key);
            let paused = pauses.iter().find(|pause| {
                pause.is_of(id.as_str()) || lane.as_ref().is_some_and(|lane| pause.is_of(lane))
            });
            let waiting = waiting.map(|(why, _)| why);
            SchoolStatus {
                id: id.to_string(),
                owner: school.map(|school| school.version.owner()),
                version: school.map(|school| school.version.to_string()),
                mis: school.and_then(|school| Some(school.mis.as_deref()?.to_owned())),
                mis_found,
                groups: school.map_or(0, |school| school.groups.len()),
                people_read: known.contains(id),
                sync_paused_until: sync_paused.get(id).copied(),
                events,
                last_error: sync_error.or(waiting).or(calendar_error),
                paused: paused.cloned(),
            }
        };
        let mut schools = Vec::with_capacity(settings.schools.len());
        for school in &settings.schools {
            let events = counted.remove(&school.id).unwrap_or_default();
            schools.push(status(&school.id, Some(school), events));
        }
        // Schools that were taken out of the settings, and whose events are still kept.
        for (id, events) in counted {
            schools.push(status(&id, None, events));
        }
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
            pauses,
            notices: store.notices().await?,
            endpoints: store
                .endpoints()
                .await?
                .into_iter()
                .filter(in_trouble)
                .collect(),
            endpoint_secrets_in_clear: store.endpoint_secrets_in_clear().await?,
            limits: store.all_limits().await?,
            requests: store.usage().await?,
        })
    }

    fn told(&self) -> String {
        let mut text = self.schools_table();
        if self.queues.is_empty() {
            text += "\n\nno pending events";
        } else {
            let _ = write!(text, "\n\n{}", self.queues_table());
        }
        if !self.requests.is_empty() {
            let _ = write!(text, "\n\n{}", self.requests_table());
        }
        for pause in &self.pauses {
            let _ = write!(text, "\n{}", pause.line());
        }
        for school in &self.schools {
            if let Some(error) = &school.last_error {
                let _ = write!(text, "\nschool {}: {error}", school.id);
            }
            if let Some(until) = school.sync_paused_until {
                let _ = write!(
                    text,
                    "\nschool {}: scheduled syncs are paused until {}; `markback sync --resume` resumes them",
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
        for endpoint in &self.endpoints {
            let _ = write!(text, "\n{}", trouble(endpoint));
        }
        if self.endpoint_secrets_in_clear > 0 {
            let _ = write!(
                text,
                "\nsecrets of {} webhook endpoints are in the database in clear; name a key in `seal_key_file` or \
                 `seal_key_env` of the settings, and run `markback token reseal`",
                self.endpoint_secrets_in_clear
            );
        }
        for limit in &self.limits {
            let _ = write!(
                text,
                "\n{}  school {}: its MIS ({}) refused marks, so {}; retried from {} on",
                time(Some(limit.learned_at)),
                limit.school,
                limit.mis,
                limit.limit,
                time(Some(limit.until))
            );
        }
        text
    }

    fn schools_table(&self) -> String {
        let rows = self.schools.iter().map(|school| {
            let count = |state: EventState| school.events.get(state.as_str()).copied().unwrap_or(0);
            let open = EventState::ALL
                .iter()
                .copied()
                .filter(|state| !state.is_final());
            [
                school.id.clone(),
                school.version.clone().unwrap_or_default(),
                match (&school.mis, &school.mis_found) {
                    (Some(set), Some(found)) if set != found => format!("{set} (found: {found})"),
                    (Some(mis), _) | (None, Some(mis)) => mis.clone(),
                    (None, None) => "not known yet".to_owned(),
                },
                if school.people_read {
                    "read"
                } else {
                    "not yet"
                }
                .to_owned(),
                open.map(count).sum::<u64>().to_string(),
                count(EventState::Held).to_string(),
                count(EventState::Confirmed).to_string(),
                count(EventState::Skipped).to_string(),
                count(EventState::Failed).to_string(),
                count(EventState::Rejected).to_string(),
                count(EventState::Unconfirmed).to_string(),
                school
                    .paused
                    .as_ref()
                    .map_or_else(String::new, Paused::until),
            ]
        });
        let columns = [
            "school",
            "settings",
            "MIS",
            "people",
            "open",
            "held",
            "confirmed",
            "skipped",
            "failed",
            "rejected",
            "unconfirmed",
            "paused until",
        ];
        output::table(columns, rows).to_string()
    }

    /// Requests by token and purpose; the purposes' names as in the metrics.
    fn requests_table(&self) -> String {
        let rows = self.requests.iter().map(|usage| {
            [
                usage.token.clone(),
                usage.purpose.replace('_', " "),
                usage.this_hour.to_string(),
                usage.last_day.to_string(),
            ]
        });
        let columns = ["requests with", "for", "this hour", "last day"];
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
            "queue", "ready", "later", "paused", "leased", "dead", "oldest",
        ];
        output::table(columns, rows).to_string()
    }
}
