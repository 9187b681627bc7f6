//! `markback check`: all that is wrong with the settings, at once.

use std::process::ExitCode;

use serde::Serialize;

use super::ConfigArg;
use markback::settings::{self, Hint, LoadError, Problem};
use markback_console::output::{self, Format};

/// What to check, and how to tell.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// How to print; a table on a terminal and plain lines elsewhere when left out
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    problems: Vec<Problem>,
    hints: Vec<Hint>,
}

/// Prints the findings. Exit code 2 if anything is wrong; hints alone are no reason.
///
/// # Errors
/// When the file cannot be read, or standard output not be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = match settings::load(&args.config.path) {
        Ok(loaded) => Report {
            ok: true,
            problems: Vec::new(),
            hints: loaded.hints,
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
            finding.what.clone(),
            finding.cure.clone(),
        ]
    });
    let table = output::table(
        [
            "",
            "where",
            "setting",
            "value",
            "what is wrong",
            "what to do",
        ],
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
            "the settings hold"
        } else {
            "the settings do not hold"
        },
        counted(report.problems.len(), "error"),
        counted(report.hints.len(), "hint"),
    )
}
