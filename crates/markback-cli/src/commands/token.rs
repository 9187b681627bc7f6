//! `markback token`: the tokens for Wonde that the database keeps, sealed. No command shows one.

use std::{path::PathBuf, process::ExitCode};

use markback::{
    configuration::{Configuration, Resealed, TokenError},
    endpoints::{Endpoints, SecretsSealed},
    settings::{Owner, SecretSource},
    store::{SettingsKey, Store, StoredToken},
};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};
use mis_core::SchoolId;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;

use super::{
    ConfigArg,
    events::time,
    open_store::Access,
    stored::{self, By},
};

/// The arguments of `markback token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keep a school's token, in place of an earlier one; every node uses it within seconds
    ///
    /// The token is read from standard input or from a file, never from the command line, which others can see.
    Set(Set),
    /// List the schools whose tokens the database keeps, with the key that each is sealed with
    Ls(Ls),
    /// Seal all tokens, and the secrets of webhook endpoints, with the present key, after the key was changed or first named
    ///
    /// The key before it must be named in `seal_key_before_env` or `seal_key_before_file`. What cannot be opened stays as it
    /// is, and the exit code is 1.
    Reseal(Reseal),
    /// Remove a school's token from the database
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    config: ConfigArg,
    /// The school, which the database keeps; it may be a draft
    #[arg(long, value_name = "ID")]
    school: String,
    /// The file with the token; default: standard input
    #[arg(
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    file: PathBuf,
    #[command(flatten)]
    by: By,
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
struct Reseal {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    config: ConfigArg,
    /// The school
    #[arg(long, value_name = "ID")]
    school: String,
    #[command(flatten)]
    by: By,
}

/// One token in the list.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    token: StoredToken,
    /// Why it cannot be opened with the keys of the settings, as this command finds them.
    problem: Option<String>,
    /// Why it is not used although it can be opened.
    unused: Option<String>,
}

/// What was sealed with the present key.
#[derive(Serialize)]
struct Sealed<'a> {
    #[serde(flatten)]
    tokens: &'a Resealed,
    /// The secrets of webhook endpoints.
    endpoints: &'a SecretsSealed,
}

/// Runs the command. The exit code is 2 if the input is no token.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, there is no key, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        match &args.command {
            Command::Set(args) => set(args).await,
            Command::Ls(args) => list(args).await,
            Command::Reseal(args) => reseal(args).await,
            Command::Remove(args) => {
                let (all, _) = stored::open(&args.config, Access::Write).await?;
                let school = SchoolId::from(args.school.as_str());
                all.remove_token(&school, &args.by.actor()).await?;
                output::line(format!("school {school}: the token is removed"))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn set(args: &Set) -> anyhow::Result<ExitCode> {
    let (all, _) = stored::open(&args.config, Access::Write).await?;
    let token: SecretString = stored::text_of(&args.file)?.into();
    let school = SchoolId::from(args.school.as_str());
    let done = match all.set_token(&school, &token, &args.by.actor()).await {
        Err(error @ TokenError::NotAToken(_)) => return Err(BadInput(error.to_string()).into()),
        done => done?,
    };
    if args.format == TextOrJson::Json {
        output::json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "school {school}: the token is kept, sealed with the key {}",
        done.key_id
    ))?;
    if let Some(place) = done.elsewhere {
        output::error_line(format!(
            "hint: it is not used, because the school's settings or its template name {place}; remove that"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &Ls) -> anyhow::Result<ExitCode> {
    let (all, store) = stored::open(&args.config, Access::Read).await?;
    let lines = lines(&all, &store).await?;
    match args.format {
        TableOrJson::Json => output::json(&json!({ "tokens": lines }))?,
        TableOrJson::Table => {
            let rows = lines.into_iter().map(|line| {
                [
                    line.token.school.to_string(),
                    time(line.token.at),
                    line.token.key_id,
                    line.token.by.unwrap_or_default(),
                    line.token.via,
                    line.problem.or(line.unused).unwrap_or_default(),
                ]
            });
            let columns = ["school", "sealed", "key", "by", "via", "note"];
            output::line(output::table(columns, rows).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn lines(all: &Configuration, store: &Store) -> anyhow::Result<Vec<Line>> {
    let mut problems = all.tokens_unread().await?;
    let settings = all.settings();
    let tokens = store.tokens().await?.into_iter().map(|token| {
        let owner = all.owner(&SettingsKey::from(&token.school));
        let place = settings.school(&token.school).map(|school| &school.token);
        let unused = match (owner, place) {
            (None, _) => Some("no version of the school rules".to_owned()),
            (Some(Owner::File), _) => Some("the settings file has the school".to_owned()),
            (_, Some(Some(SecretSource::Sealed(_)))) => None,
            (_, Some(Some(place))) => Some(format!("not used: the settings name {place}")),
            _ => Some("not used: the school is not linked through Wonde".to_owned()),
        };
        Line {
            problem: problems
                .remove(&token.school)
                .map(|error| error.to_string()),
            unused,
            token,
        }
    });
    Ok(tokens.collect())
}

async fn reseal(args: &Reseal) -> anyhow::Result<ExitCode> {
    let (all, store) = stored::open(&args.config, Access::Write).await?;
    let (actor, settings) = (args.by.actor(), all.settings());
    let done = all.reseal_tokens(&actor).await?;
    let endpoints = Endpoints::new(store, &settings.service);
    let secrets = endpoints.seal_secrets(&actor).await?;
    match args.format {
        TextOrJson::Json => output::json(&Sealed {
            tokens: &done,
            endpoints: &secrets,
        })?,
        TextOrJson::Text => {
            for (school, why) in &done.failed {
                output::error_line(format!("error: school {school}: {why}"));
            }
            output::line(format!(
                "key {}: {} tokens are sealed with it now, {} were before, {} cannot be opened",
                done.key_id,
                done.resealed,
                done.already,
                done.failed.len()
            ))?;
            for (endpoint, why) in &secrets.failed {
                output::error_line(format!("error: webhook endpoint {endpoint}: {why}"));
            }
            output::line(format!(
                "key {}: {} secrets of webhook endpoints are sealed with it now, {} were before, {} cannot be opened",
                secrets.key_id,
                secrets.sealed,
                secrets.already,
                secrets.failed.len()
            ))?;
        }
    }
    Ok(if done.failed.is_empty() && secrets.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
