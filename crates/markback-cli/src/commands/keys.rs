//! `markback keys`: makes, lists and revokes the keys of the API. Works on the database directly, also while the service
//! runs: each node knows of a change within seconds.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use markback::{
    keys::{self, KeyError, KeyRecord, NewKey, Scope},
    store::Store,
};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};
use mis_core::SchoolId;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;

use super::{
    ConfigArg, named,
    open_store::{Access, open_store},
    recorded,
};

/// The arguments of `markback keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key, and print it this once: only its hash is kept
    Add(Add),
    /// List the keys, with those that expired or were revoked
    Ls(Ls),
    /// Revoke keys: every node rejects them within seconds
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    config: ConfigArg,
    /// What the key is for, such as the name of the system that uses it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do; can be repeated, or separated by commas
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = scope_parser())]
    scope: Vec<Scope>,
    /// A school that exists for it; can be repeated. Without one, all schools do, also those that come later
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// How long it is valid, such as 90d; without it, until it is revoked
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
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
struct Revoke {
    #[command(flatten)]
    config: ConfigArg,
    /// The keys by id, as `markback keys ls` lists them; the key itself is accepted too
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

fn scope_parser() -> impl clap::builder::TypedValueParser<Value = Scope> {
    let words = Scope::ALL.iter().map(|scope| scope.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Scope>())
}

/// A key as it is printed.
#[derive(Serialize)]
struct Line<'k> {
    state: &'static str,
    #[serde(flatten)]
    key: &'k KeyRecord,
}

/// Runs the command. The exit code is 1 if there is no such key.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::Ls(args) => list(args),
        Command::Revoke(args) => revoke(args),
    }
}

fn add(args: &Add) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let mut schools = BTreeSet::new();
    for id in &args.school {
        schools.insert(named::school(&settings, id)?.id.clone());
    }
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let new = NewKey {
            name: args.name.clone(),
            scopes: args.scope.iter().copied().collect(),
            schools: (!schools.is_empty()).then_some(schools),
            expires_at: args
                .expires
                .map(|length| end_of(&store, length))
                .transpose()?,
        };
        let actor = recorded::actor(None, None);
        let (key, record) = keys::add(&store, &new, &actor).await.map_err(told)?;
        let key = key.expose_secret();
        match args.format {
            TextOrJson::Json => output::json(&json!({
                "key": key,
                "record": Line { state: record.state(store.now()), key: &record },
            }))?,
            TextOrJson::Text => {
                // Alone on standard output, for a file or a variable.
                output::line(key)?;
                output::error_line(format!(
                    "this is the key {} ({}); it is shown this once: put it where the client reads its secrets",
                    record.id, record.name
                ));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn end_of(store: &Store, length: Duration) -> Result<DateTime<Utc>, BadInput> {
    let length = chrono::TimeDelta::from_std(length).ok();
    let end = length.and_then(|length| store.now().checked_add_signed(length));
    end.ok_or_else(|| {
        BadInput("--expires is too far ahead; leave it out for a key that does not expire".into())
    })
}

fn list(args: &Ls) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    let (found, now) = block_on(async {
        let store = open_store(&settings, Access::Read).await?;
        Ok((store.keys().await?, store.now()))
    })?;
    match args.format {
        TableOrJson::Json => {
            let lines: Vec<_> = found
                .iter()
                .map(|key| Line {
                    state: key.state(now),
                    key,
                })
                .collect();
            output::json(&json!({ "keys": lines }))?;
        }
        TableOrJson::Table => {
            let rows = found.iter().map(|key| row(key, now));
            let columns = [
                "id",
                "name",
                "scopes",
                "schools",
                "state",
                "expires",
                "last used",
                "made",
                "by",
            ];
            output::line(output::table(columns, rows).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(key: &KeyRecord, now: DateTime<Utc>) -> [String; 9] {
    let day = |at: Option<DateTime<Utc>>, none: &str| {
        at.map_or_else(
            || none.to_owned(),
            |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
        )
    };
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let schools = key.schools.as_ref().map(|schools| {
        let ids: Vec<_> = schools.iter().map(SchoolId::as_str).collect();
        ids.join("\n")
    });
    [
        key.id.clone(),
        key.name.clone(),
        scopes.join("\n"),
        schools.unwrap_or_else(|| "all".to_owned()),
        key.state(now).to_owned(),
        day(key.expires_at, "never"),
        day(key.last_used_at, "never"),
        day(key.created_at, ""),
        key.created_by.clone().unwrap_or_default(),
    ]
}

fn revoke(args: &Revoke) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let actor = recorded::actor(None, None);
        let (mut revoked, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for given in &args.ids {
            let id = keys::public_part(given.as_bytes()).unwrap_or(given);
            match keys::revoke(&store, id, &actor).await {
                Ok(record) => revoked.push(record),
                Err(KeyError::Unknown) => {
                    // What was given may be a secret.
                    output::error_line(KeyError::Unknown.to_string());
                    code = ExitCode::FAILURE;
                }
                Err(error) => return Err(told(error)),
            }
        }
        match args.format {
            TextOrJson::Json => output::json(&json!({ "keys": revoked }))?,
            TextOrJson::Text => {
                for key in &revoked {
                    output::line(format!(
                        "{} ({}): revoked; every node rejects it within seconds",
                        key.id, key.name
                    ))?;
                }
            }
        }
        Ok(code)
    })
}

fn told(error: KeyError) -> anyhow::Error {
    match error {
        KeyError::Invalid { .. } => BadInput(error.to_string()).into(),
        error => error.into(),
    }
}
