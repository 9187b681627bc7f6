//! `markback doctor`: asks Wonde, without changing anything, whether all is well at the schools.

mod look;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use markback_console::block_on;

use super::{ConfigArg, named, registry};
use markback::{rate::Rates, settings::School};
use markback_console::output::{self, TableOrJson};

/// Whom to ask about, and how to tell.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school; all of them when left out
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    ok: bool,
    /// To Wonde, those that were repeated included.
    requests: u32,
    schools: Vec<Examined>,
}

/// What was found at one school.
#[derive(Serialize)]
struct Examined {
    school: String,
    findings: Vec<Finding>,
}

/// The answer to one question.
#[derive(Serialize)]
struct Finding {
    asked: &'static str,
    verdict: Verdict,
    found: String,
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// How many schools are asked about at the same time.
const AT_ONCE: usize = 4;

/// Asks and prints. Exit code 1 if anything failed.
///
/// # Errors
/// When the settings do not hold, there is no such school, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let registry = registry()?;
    let schools: Vec<&School> = match &args.school {
        None => settings.schools.iter().collect(),
        Some(id) => vec![named::school(&settings, id)?],
    };
    // Not through the store: whether all is well is asked before there is one, and changes nothing.
    let rates = Rates::alone(settings.service.rate_per_minute);
    let requests = Arc::new(AtomicU32::new(0));
    let examined = block_on(async {
        futures::stream::iter(schools)
            .map(|school| {
                let examination = look::examine(&settings, school, &registry, &rates, &requests);
                async move {
                    anyhow::Ok(Examined {
                        school: school.id.to_string(),
                        findings: examination.await,
                    })
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    })?;
    let report = Report::new(examined, requests.load(Ordering::Relaxed));
    match args.format {
        TableOrJson::Json => output::json(&report)?,
        TableOrJson::Table => output::line(report.as_table())?,
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Report {
    fn new(schools: Vec<Examined>, requests: u32) -> Self {
        let failed = |school: &Examined| school.findings.iter().any(|f| f.verdict == Verdict::Fail);
        Self {
            ok: !schools.iter().any(failed),
            requests,
            schools,
        }
    }

    fn as_table(&self) -> String {
        let rows = self.schools.iter().flat_map(|school| {
            school.findings.iter().map(|finding| {
                let verdict = match finding.verdict {
                    Verdict::Ok => "ok",
                    Verdict::Warn => "warn",
                    Verdict::Fail => "FAIL",
                };
                [
                    school.school.clone(),
                    finding.asked.to_owned(),
                    verdict.to_owned(),
                    finding.found.clone(),
                    finding.help.clone().unwrap_or_default(),
                ]
            })
        });
        let table = output::table(["school", "asked", "", "found", "what to do"], rows);
        format!("{table}\n{}", self.summary())
    }

    fn summary(&self) -> String {
        let count = |verdict| {
            let findings = self.schools.iter().flat_map(|school| &school.findings);
            findings
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        format!(
            "{} ok, {} warnings, {} failed; requests to Wonde, beside those of a service that runs: {}",
            count(Verdict::Ok),
            count(Verdict::Warn),
            count(Verdict::Fail),
            self.requests
        )
    }
}
