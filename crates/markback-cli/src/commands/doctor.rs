//! `markback doctor`: checks the schools' settings and permissions at Wonde, without changing anything.

mod probe;

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
use markback::{
    doctor::{self, Finding, Findings, Verdict},
    rate::Rates,
    settings::{School, Settings},
};
use markback_console::output::{self, TableOrJson};

/// The arguments of `markback doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school; default: all
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// Check assumptions about Wonde's API, read-only, and print a report without personal data that may be shared
    #[arg(long)]
    probe: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

/// All results.
#[derive(Serialize)]
struct Report {
    ok: bool,
    /// Requests to Wonde, including repeated ones.
    requests: u32,
    schools: Vec<Examined>,
}

/// The results of one school.
#[derive(Serialize)]
struct Examined {
    school: String,
    findings: Vec<Finding>,
}

/// The number of schools that are checked concurrently.
const AT_ONCE: usize = 4;

/// Runs the checks and prints the results. The exit code is 1 if a check failed.
///
/// # Errors
/// Returns an error if the settings are invalid, there is no such school, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_and_tell()?.settings;
    let registry = registry()?;
    let schools: Vec<&School> = match &args.school {
        None => settings.schools.iter().collect(),
        Some(id) => vec![named::school(&settings, id)?],
    };
    // Without the database: the checks run before there is one, and change nothing.
    let rates = Rates::alone(settings.service.rate_per_minute);
    let requests = Arc::new(AtomicU32::new(0));
    if args.probe {
        let probed = block_on(async {
            let mut probed = Vec::new();
            for school in schools {
                probed.push(probe(&settings, school, &rates, &requests).await);
            }
            anyhow::Ok(probed)
        })?;
        return print_probed(&probed, args.format);
    }
    let examined = block_on(async {
        futures::stream::iter(schools)
            .map(|school| {
                let context = doctor::context(school, &rates, &requests);
                let examination = doctor::examine(&settings, school, &registry, context);
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

/// The results of one school, or the reason why there are none.
#[derive(Serialize)]
struct Probed {
    school: String,
    mis: Option<String>,
    observations: Vec<probe::Observation>,
    findings: Vec<Finding>,
}

async fn probe(
    settings: &Settings,
    school: &School,
    rates: &Rates,
    requests: &Arc<AtomicU32>,
) -> Probed {
    let mut findings = Findings::default();
    let mut probed = Probed {
        school: school.id.to_string(),
        mis: None,
        observations: Vec::new(),
        findings: Vec::new(),
    };
    if school.link.is_some() {
        findings.fail(
            "link",
            "the school is not linked through Wonde",
            "omit it from --probe",
        );
        probed.findings = findings.0;
        return probed;
    }
    let context = doctor::context(school, rates, requests);
    if let Some(client) = findings.client(&settings.service, school, &context)
        && let Some(record) = findings.record(&client, school).await
    {
        let at = client
            .at(&record)
            .unwrap_or_else(|_| client.at_base(&record.id));
        probed.observations = probe::examine(&client, &at).await;
        probed.mis = record.mis;
    }
    probed.findings = findings.0;
    probed
        .findings
        .retain(|finding| finding.verdict == Verdict::Fail);
    probed
}

/// Prints the results. The exit code is 1 if a school could not be checked.
fn print_probed(probed: &[Probed], format: TableOrJson) -> anyhow::Result<ExitCode> {
    match format {
        TableOrJson::Json => output::json(&probed)?,
        TableOrJson::Table => {
            for one in probed {
                let mis = one.mis.as_deref().unwrap_or("an MIS without a name");
                output::line(format!("{} ({mis})", one.school))?;
                for finding in &one.findings {
                    output::line(format!("{}: {}", finding.asked, finding.found))?;
                }
                let rows = one.observations.iter().map(probe::Observation::row);
                let table = output::table(["check", "result", "affected assumption"], rows);
                output::line(table.to_string())?;
            }
        }
    }
    Ok(match probed.iter().all(|one| one.findings.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
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
        let table = output::table(["school", "check", "", "result", "what to do"], rows);
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
            "{} ok, {} warnings, {} failed; requests to Wonde, in addition to those of a running service: {}",
            count(Verdict::Ok),
            count(Verdict::Warn),
            count(Verdict::Fail),
            self.requests
        )
    }
}
