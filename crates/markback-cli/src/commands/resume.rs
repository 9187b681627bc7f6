//! `markback resume`: ends the pause of a school or a token at once.

use std::process::ExitCode;

use outbox::Pause;

use markback::{
    audit_log::AuditAction,
    schools::token_key,
    settings::Settings,
    waiting::{TOKEN, line_of},
};
use markback_console::{BadInput, block_on, output};

use super::{
    ConfigArg, named,
    open_store::{Access, open_store},
    recorded,
};

/// The arguments of `markback resume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// School; can be repeated
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// Token, as named by `markback status`, such as `env:WONDE_TOKEN`; can be repeated
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// All schools and tokens
    #[arg(long, conflicts_with_all = ["school", "token"])]
    all: bool,
}

/// Ends the pauses. The exit code is 1 if one of them is not paused.
///
/// # Errors
/// Returns an error if the settings are invalid, no school or an unknown one is named, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let pauses = store.outbox().pauses().await?;
        let asked = keys(&settings, args, &pauses)?;
        let (rest, others): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .partition(|key| pauses.iter().any(|pause| pause.key == *key));
        store.end_pauses(&rest).await?;
        let ended = rest.iter().map(|key| {
            let entry = recorded::entry(AuditAction::PauseEnded).subject(key);
            let school = settings
                .schools
                .iter()
                .find(|school| school.id.as_str() == key);
            match school {
                Some(school) => entry.school(&school.id),
                None => entry,
            }
        });
        let ended: Vec<_> = ended.collect();
        store.record(&ended).await?;
        for key in &rest {
            output::line(format!("{}: resumed", name_of(key)))?;
        }
        for key in &others {
            output::error_line(not_paused(&settings, &pauses, key));
        }
        Ok(if others.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// The schools and tokens to resume.
fn keys(settings: &Settings, args: &Args, pauses: &[Pause]) -> Result<Vec<String>, BadInput> {
    if args.all {
        return Ok(pauses.iter().map(|pause| pause.key.clone()).collect());
    }
    if args.school.is_empty() && args.token.is_empty() {
        let now: Vec<_> = pauses.iter().map(line_of).collect();
        let now = match now.as_slice() {
            [] => "nothing is paused".to_owned(),
            lines => format!("paused now\n  {}", lines.join("\n  ")),
        };
        return Err(BadInput(format!(
            "nothing is named; name a school with --school, a token with --token, or --all; {now}"
        )));
    }
    let mut keys = Vec::new();
    for id in &args.school {
        // A school that was removed from the settings can still be paused.
        if pauses.iter().all(|pause| pause.key != *id) {
            named::school(settings, id)?;
        }
        keys.push(id.clone());
    }
    for token in &args.token {
        let name = token.strip_prefix(TOKEN).unwrap_or(token);
        keys.push(format!("{TOKEN}{name}"));
    }
    Ok(keys)
}

fn not_paused(settings: &Settings, pauses: &[Pause], key: &str) -> String {
    let name = name_of(key);
    let token = settings.school(&key.into()).map(token_key);
    let paused = token.filter(|token| pauses.iter().any(|pause| pause.key == *token));
    match paused.as_deref().and_then(|key| key.strip_prefix(TOKEN)) {
        Some(token) => format!("{name} is not paused itself, but its token is: --token {token}"),
        None => format!("{name} is not paused; `markback status` lists all pauses"),
    }
}

fn name_of(key: &str) -> String {
    match key.strip_prefix(TOKEN) {
        Some(token) => format!("token {token}"),
        None => format!("school {key}"),
    }
}
