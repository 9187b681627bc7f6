//! `markback resume`: ends the pause of a school or a token at once.

use std::process::ExitCode;

use outbox::Pause;

use markback::{
    schools::token_key,
    settings::Settings,
    waiting::{TOKEN, line_of},
};
use markback_console::{BadInput, block_on, output};

use super::{
    ConfigArg, named,
    open_store::{Access, open_store},
};

/// Whose pause.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// This school; may be given more than once
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// This token, as `markback status` names it, such as `env:WONDE_TOKEN`; may be given more than once
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// All schools and tokens
    #[arg(long, conflicts_with_all = ["school", "token"])]
    all: bool,
}

/// Ends the pauses. Exit code 1 when one that is named does not rest.
///
/// # Errors
/// When the settings do not hold, nothing or an unknown school is named, or the store does not answer.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let pauses = store.outbox().pauses().await?;
        let asked = lanes(&settings, args, &pauses)?;
        let (rest, others): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .partition(|lane| pauses.iter().any(|pause| pause.key == *lane));
        store.end_pauses(&rest).await?;
        for lane in &rest {
            output::line(format!("{}: its work goes on", name_of(lane)))?;
        }
        for lane in &others {
            output::error_line(not_paused(&settings, &pauses, lane));
        }
        Ok(if others.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// The lanes that are asked for.
fn lanes(settings: &Settings, args: &Args, pauses: &[Pause]) -> Result<Vec<String>, BadInput> {
    if args.all {
        return Ok(pauses.iter().map(|pause| pause.key.clone()).collect());
    }
    if args.school.is_empty() && args.token.is_empty() {
        let now: Vec<_> = pauses.iter().map(line_of).collect();
        let now = match now.as_slice() {
            [] => "nobody rests now".to_owned(),
            lines => format!("now\n  {}", lines.join("\n  ")),
        };
        return Err(BadInput(format!(
            "nothing is named; name a school with --school, a token with --token, or --all; {now}"
        )));
    }
    let mut lanes = Vec::new();
    for id in &args.school {
        // A school that was taken out of the settings may rest all the same.
        if pauses.iter().all(|pause| pause.key != *id) {
            named::school(settings, id)?;
        }
        lanes.push(id.clone());
    }
    for token in &args.token {
        let name = token.strip_prefix(TOKEN).unwrap_or(token);
        lanes.push(format!("{TOKEN}{name}"));
    }
    Ok(lanes)
}

fn not_paused(settings: &Settings, pauses: &[Pause], lane: &str) -> String {
    let name = name_of(lane);
    let token = settings.school(&lane.into()).map(token_key);
    let rests = token.filter(|token| pauses.iter().any(|pause| pause.key == *token));
    match rests.as_deref().and_then(|lane| lane.strip_prefix(TOKEN)) {
        Some(token) => format!("{name} does not rest by itself, its token does: --token {token}"),
        None => format!("{name} does not rest; `markback status` tells who does"),
    }
}

fn name_of(lane: &str) -> String {
    match lane.strip_prefix(TOKEN) {
        Some(token) => format!("token {token}"),
        None => format!("school {lane}"),
    }
}
