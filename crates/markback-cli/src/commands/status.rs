//! `markback status`: schools, pending events, paused schools and what is in the way, as the database has it.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

use markback_console::block_on;
use serde::Serialize;

use super::{
    ConfigArg,
    events::{about, time},
    open_store::Access,
    stored,
};
use markback::{
    configuration::Configuration,
    endpoints::Endpoint,
    overview::{self, PauseOverview, SchoolOverview},
    store::{EventState, LearnedLimit, Notice, Store, Usage},
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
    schools: Vec<SchoolOverview>,
    queues: BTreeMap<String, QueueStatus>,
    pauses: Vec<PauseOverview>,
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
    let status = block_on(async {
        let (all, store) = stored::open(&args.config, Access::Read).await?;
        Ok(Status::read(&all, &store).await?)
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
    async fn read(all: &Configuration, store: &Store) -> outbox::Result<Self> {
        let mut schools = overview::schools(all, store).await?;
        // Drafts have no state, and schools that were taken out only while events are open or wait for a person.
        schools.retain(|school| school.owner.is_some() || !school.events.is_empty());
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
            pauses: overview::pauses(store).await?,
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
                count(EventState::Failed).to_string(),
                count(EventState::Rejected).to_string(),
                count(EventState::Unconfirmed).to_string(),
                school
                    .paused
                    .as_ref()
                    .map_or_else(String::new, |pause| time(Some(pause.until))),
            ]
        });
        let columns = [
            "school",
            "settings",
            "MIS",
            "people",
            "open",
            "held",
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
