//! `markback check`: lists all problems of the settings.

use std::{path::Path, process::ExitCode};

use serde::Serialize;

use super::ConfigArg;
use markback::settings::{self, Hint, LoadError, Problem, SecretError, Settings};
use markback_console::output::{self, Format};

/// The arguments of `markback check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Output format; by default a table on a terminal and plain lines elsewhere
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    problems: Vec<Problem>,
    hints: Vec<Hint>,
}

/// Prints the findings. The exit code is 2 if there are problems; hints do not count.
///
/// # Errors
/// Returns an error if the file cannot be read or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = match settings::load(args.config.named()?) {
        Ok(loaded) => Report {
            ok: true,
            problems: Vec::new(),
            hints: {
                let file = args.config.named()?;
                let settings = &loaded.settings;
                let absent = absent_secrets(file, settings);
                let today = chrono::Utc::now().date_naive();
                let run_out = settings.calendars_that_run_out(today, file);
                let hints = loaded.hints.into_iter();
                let ical = settings.ical_files(file);
                hints.chain(absent).chain(run_out).chain(ical).collect()
            },
        },
        Err(LoadError::Problems { problems, hints }) => Report {
            ok: false,
            problems,
            hints,
        },
        Err(error) => return Err(error.into()),
    };
    match Format::or_fitting(args.format) {
        Format::Json => output::json(&report)?,
        Format::Text => output::line(as_text(&report))?,
        Format::Table => output::line(as_table(&report))?,
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

/// Missing secrets. They are only hints, because the service may run elsewhere.
fn absent_secrets(file: &Path, settings: &Settings) -> Vec<Hint> {
    let service = &settings.service;
    let hint = |key: &str, error: SecretError| {
        let words = error.to_string();
        let (message, help) = words
            .split_once("; ")
            .unwrap_or((&words, "put the secret there"));
        Hint {
            file: file.display().to_string().into(),
            line: None,
            key: key.to_owned(),
            value: None,
            message: message.to_owned(),
            help: format!("{help}, where the service runs"),
        }
    };
    let key = match service.api_key() {
        // Told with the settings themselves.
        Err(SecretError::NotNamed) | Ok(_) => None,
        Err(error) => Some(hint("api_key", error)),
    };
    let webhooks = service.webhook_secret().err();
    let webhooks = webhooks.map(|error| hint("webhook_secret", error));
    let seal_key = match service.check_seal_key() {
        // Schools that need it say so themselves.
        Err(SecretError::NoSealKey) | Ok(()) => None,
        Err(error) => Some(hint("seal_key", error)),
    };
    let store = service.store_url().err();
    let store = store.map(|error| hint("store_env", error));
    let tokens = settings.absent_tokens().into_iter();
    let tokens = tokens.map(|(error, schools)| {
        let mut hint = hint("token", error);
        hint.message = match schools {
            1 => format!("{}, and a school needs it", hint.message),
            many => format!("{}, and {many} schools need it", hint.message),
        };
        hint
    });
    key.into_iter()
        .chain(webhooks)
        .chain(seal_key)
        .chain(store)
        .chain(tokens)
        .collect()
}

fn as_text(report: &Report) -> String {
    let mut lines: Vec<_> = findings(report)
        .map(|(weight, finding)| format!("{weight}: {finding}"))
        .collect();
    lines.push(summary(report));
    lines.join("\n")
}

fn as_table(report: &Report) -> String {
    let rows = findings(report).map(|(weight, finding)| {
        let place = match finding.line {
            Some(line) => format!("{}:{line}", finding.file),
            None => finding.file.to_string(),
        };
        [
            weight.to_owned(),
            place,
            finding.key.clone(),
            finding.value.clone().unwrap_or_default(),
            finding.message.clone(),
            finding.help.clone(),
        ]
    });
    let table = output::table(
        ["", "where", "setting", "value", "problem", "what to do"],
        rows,
    );
    if table.is_empty() {
        return summary(report);
    }
    format!("{table}\n{}", summary(report))
}

fn findings(report: &Report) -> impl Iterator<Item = (&'static str, &Problem)> {
    let problems = report.problems.iter().map(|problem| ("error", problem));
    problems.chain(report.hints.iter().map(|hint| ("hint", hint)))
}

fn summary(report: &Report) -> String {
    let counted = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    format!(
        "{}: {}, {}",
        if report.ok {
            "the settings are valid"
        } else {
            "the settings are invalid"
        },
        counted(report.problems.len(), "error"),
        counted(report.hints.len(), "hint"),
    )
}
