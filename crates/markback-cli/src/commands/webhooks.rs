//! `markback webhooks`: the endpoints that get entries of the feed as signed webhooks.

use std::process::ExitCode;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use markback::{
    endpoints::{
        Delivery, DeliveryFilter, DeliveryState, Endpoint, EndpointError, Endpoints, NewEndpoint,
        Secret,
    },
    feed::{Cursor, FeedKind},
    operator::Actor,
    settings::Settings,
};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};
use serde_json::json;
use url::Url;

use super::{
    ConfigArg,
    events::time,
    named,
    open_store::{Access, open_store},
    recorded,
};

/// The arguments of `markback webhooks`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add an endpoint, and print its id and its secret, which is never shown again
    Add(Add),
    /// List the endpoints, and what is wrong with them
    Ls(Ls),
    /// Send a test message now; the exit code is 1 if the endpoint did not take it
    Test(One),
    /// Give an endpoint a new secret; for 24 hours messages are signed with the one before it too
    Rotate(One),
    /// Let an endpoint get entries again
    Enable(One),
    /// Let an endpoint get nothing for now
    Disable(One),
    /// Send one entry again, or all that failed since a time
    Resend(Resend),
    /// Remove an endpoint and its log of deliveries
    Remove(One),
    /// List the deliveries to an endpoint with their attempts
    Deliveries(Deliveries),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    config: ConfigArg,
    /// Its address: https, and on the public internet unless the settings allow others
    #[arg(value_name = "URL")]
    url: Url,
    /// Only entries of this school; without it, all schools and what concerns no single one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// Only entries of this kind: event, group, sync or notice; can be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<FeedKind>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    config: ConfigArg,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    config: ConfigArg,
    /// The endpoint's id
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Resend {
    #[command(flatten)]
    config: ConfigArg,
    /// The endpoint's id
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The cursor of one entry, which is sent whatever became of it
    #[arg(long, value_name = "CURSOR", required_unless_present = "since")]
    entry: Option<Cursor>,
    /// All that failed or was never sent since then: a day, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "entry", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Deliveries {
    #[command(flatten)]
    config: ConfigArg,
    /// The endpoint's id
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Only those in this state: waiting, delivered or failed
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<DeliveryState>,
    /// The most deliveries
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the settings are invalid, there is no such endpoint, its address must not be called, or a database
/// query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Add(add) => run_add(add),
        Command::Ls(ls) => {
            let all = with(&ls.config, Access::Read, async |all| Ok(all.list().await?))?;
            match ls.format {
                TableOrJson::Json => output::json(&json!({ "endpoints": all }))?,
                TableOrJson::Table => output::line(endpoints_table(&all))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(one) => run_test(one),
        Command::Rotate(one) => {
            let rotate = async |all: Endpoints| all.rotate(&one.endpoint, &user()).await;
            print_secret(&with(&one.config, Access::Write, rotate)?, one.format)
        }
        Command::Enable(one) => enable(one, true),
        Command::Disable(one) => enable(one, false),
        Command::Resend(resend) => run_resend(resend),
        Command::Remove(one) => {
            let remove = async |all: Endpoints| all.remove(&one.endpoint, &user()).await;
            with(&one.config, Access::Write, remove)?;
            match one.format {
                TextOrJson::Json => output::json(&json!({ "removed": one.endpoint }))?,
                TextOrJson::Text => output::line(format!("{}: removed", one.endpoint))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Deliveries(listed) => run_deliveries(listed),
    }
}

/// Does something with the endpoints of the database that the settings name.
fn with<T>(
    config: &ConfigArg,
    access: Access,
    work: impl AsyncFnOnce(Endpoints) -> Result<T, EndpointError>,
) -> anyhow::Result<T> {
    with_settings(&config.load()?.settings, access, work)
}

fn with_settings<T>(
    settings: &Settings,
    access: Access,
    work: impl AsyncFnOnce(Endpoints) -> Result<T, EndpointError>,
) -> anyhow::Result<T> {
    let done = block_on(async {
        let store = open_store(settings, access).await?;
        Ok(work(Endpoints::new(store, &settings.service)).await)
    })?;
    // What somebody typed wrong exits with code 2.
    done.map_err(|error| match error {
        EndpointError::Unknown | EndpointError::Target(_) | EndpointError::TooLong => {
            BadInput(error.to_string()).into()
        }
        error => error.into(),
    })
}

/// This system user, who changes an endpoint.
fn user() -> Actor {
    recorded::actor(None, None)
}

fn run_add(add: &Add) -> anyhow::Result<ExitCode> {
    let settings = add.config.load()?.settings;
    if let Some(school) = &add.school {
        named::school(&settings, school)?;
    }
    let new = NewEndpoint {
        school: add.school.clone(),
        kinds: add.kinds.clone(),
        url: add.url.clone(),
        note: add.note.clone(),
    };
    let add_it = async |all: Endpoints| all.add(new, &user()).await;
    let added = with_settings(&settings, Access::Write, add_it)?;
    print_secret(&added, add.format)
}

fn print_secret(
    (endpoint, secret): &(Endpoint, Secret),
    format: TextOrJson,
) -> anyhow::Result<ExitCode> {
    let secret = secret.expose();
    match format {
        TextOrJson::Json => output::json(&json!({ "endpoint": endpoint, "secret": secret }))?,
        TextOrJson::Text => output::line(format!(
            "{}  {}\nsecret, which is not shown again: {secret}",
            endpoint.id, endpoint.url
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_test(one: &One) -> anyhow::Result<ExitCode> {
    let test = async |all: Endpoints| all.test(&one.endpoint).await;
    let tested = with(&one.config, Access::Read, test)?;
    match one.format {
        TextOrJson::Json => output::json(&tested)?,
        TextOrJson::Text => {
            let status = tested.status.map(|status| format!("status {status}, "));
            let result = tested.error.as_deref().unwrap_or("delivered");
            output::line(format!(
                "{}: {}{} ms: {result}",
                one.endpoint,
                status.unwrap_or_default(),
                tested.took_ms
            ))?;
        }
    }
    Ok(match tested.delivered {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn enable(one: &One, enabled: bool) -> anyhow::Result<ExitCode> {
    let enable = async |all: Endpoints| all.enable(&one.endpoint, enabled, &user()).await;
    let endpoint = with(&one.config, Access::Write, enable)?;
    match one.format {
        TextOrJson::Json => output::json(&endpoint)?,
        TextOrJson::Text => output::line(format!("{}: {}", endpoint.id, endpoint.state.as_str()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_resend(resend: &Resend) -> anyhow::Result<ExitCode> {
    let id = &resend.endpoint;
    let again = async |all: Endpoints| match (resend.entry, resend.since) {
        (Some(entry), _) => all.resend(id, entry, &user()).await.map(|()| 1),
        (None, Some(since)) => all.resend_since(id, since, &user()).await,
        // The arguments require one of them.
        (None, None) => Ok(0),
    };
    let entries = with(&resend.config, Access::Write, again)?;
    match resend.format {
        TextOrJson::Json => output::json(&json!({ "entries": entries }))?,
        TextOrJson::Text => output::line(format!("{id}: {entries} entries are sent again"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_deliveries(listed: &Deliveries) -> anyhow::Result<ExitCode> {
    let filter = DeliveryFilter {
        before: None,
        state: listed.state,
        limit: listed.limit,
    };
    let list = async |all: Endpoints| all.deliveries(&listed.endpoint, &filter).await;
    let found = with(&listed.config, Access::Read, list)?;
    match listed.format {
        TableOrJson::Json => output::json(&json!({ "deliveries": found }))?,
        TableOrJson::Table => output::line(deliveries_table(&found))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn endpoints_table(all: &[Endpoint]) -> String {
    if all.is_empty() {
        return "no webhook endpoints; `markback webhooks add` adds one".to_owned();
    }
    let rows = all.iter().map(|one| {
        let kinds: Vec<_> = one.kinds.iter().map(|kind| kind.as_str()).collect();
        [
            one.id.clone(),
            one.url.to_string(),
            one.school.clone().unwrap_or_else(|| "all".to_owned()),
            if kinds.is_empty() {
                "all".to_owned()
            } else {
                kinds.join(", ")
            },
            one.state.as_str().to_owned(),
            time(one.failing_since),
            one.last_error
                .clone()
                .filter(|_| one.failing_since.is_some())
                .unwrap_or_default(),
            one.note.clone().unwrap_or_default(),
        ]
    });
    let columns = [
        "endpoint",
        "address",
        "school",
        "kinds",
        "state",
        "failing since",
        "last error",
        "note",
    ];
    output::table(columns, rows).to_string()
}

fn deliveries_table(found: &[Delivery]) -> String {
    if found.is_empty() {
        return "no deliveries".to_owned();
    }
    let rows = found.iter().map(|one| {
        let last = one.attempts.last();
        let error = last.and_then(|last| last.error.clone());
        [
            one.entry.to_string(),
            one.state.as_str().to_owned(),
            one.attempts.len().to_string(),
            time(last.map(|last| last.at)),
            last.map(|last| format!("{} ms", last.took_ms))
                .unwrap_or_default(),
            error.unwrap_or_default(),
        ]
    });
    let columns = [
        "entry",
        "state",
        "attempts",
        "last attempt",
        "took",
        "last error",
    ];
    output::table(columns, rows).to_string()
}

fn kind(word: &str) -> Result<FeedKind, String> {
    let words: Vec<_> = FeedKind::ALL.iter().map(|kind| kind.as_str()).collect();
    word.parse()
        .map_err(|_| format!("there is no such kind; there are: {}", words.join(", ")))
}

fn state(word: &str) -> Result<DeliveryState, String> {
    let help = "there is no such state; there are: waiting, delivered, failed";
    word.parse().map_err(|_| help.to_owned())
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = text.parse::<DateTime<Utc>>() {
        return Ok(at);
    }
    let day: NaiveDate = text.parse().map_err(|_| {
        "this is neither a day nor a time; write 2026-11-23 or 2026-11-23T09:00:00Z".to_owned()
    })?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}
