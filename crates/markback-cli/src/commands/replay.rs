//! `markback replay`: processes a log of events in the same way as the service.

mod lines;
mod report;

use std::{
    collections::{HashSet, VecDeque},
    io::BufRead,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use markback_console::{BadInput, block_on, logging, signals::Signals};
use markback_http::server::{STOP_WITHIN, ended_well};
use mis_core::SchoolId;
use tokio_util::sync::CancellationToken;

use self::{
    lines::{Bad, Line, Lines},
    report::Report,
};
use super::{ConfigArg, named, recorded};
use markback::{
    service::{EventState, IntakeError, Markback, Options},
    settings::Settings,
};
use markback_console::output::TextOrJson;

/// Events per request.
const BATCH: usize = 200;
/// The polling interval of unsettled events.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for the schools' people after the start.
const PEOPLE_WITHIN: Duration = Duration::from_secs(30);

/// The arguments of `markback replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
    /// School of lines that name none; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    pub school: Option<String>,
    /// Only accept the events and leave their processing to a running service
    #[arg(long)]
    pub no_wait: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
    /// The events, one JSON object on each line; `-` reads standard input
    #[arg(value_name = "EVENTS.jsonl")]
    pub events: PathBuf,
}

/// Runs it.
///
/// # Errors
/// Returns an error if the settings are invalid, or if the log or the database cannot be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::start(logging::COMMAND)?;
    let settings = args.config.load()?.settings;
    let school = default_school(&settings, args.school.as_deref())?;
    let log = open(&args.events)?;
    block_on(replay(args, settings, school, log))
}

async fn replay(
    args: Args,
    settings: Settings,
    school: Option<SchoolId>,
    log: Box<dyn BufRead + Send>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let markback = Markback::open(settings, Options::default()).await?;
    let stop = CancellationToken::new();
    let workers = (!args.no_wait).then(|| {
        let (markback, stop) = (markback.clone(), stop.clone());
        tokio::spawn(async move { markback.run(stop).await })
    });
    let mut report = Report::default();
    let work = async {
        let lines = Lines::new(log, school);
        let taken = take_in(&markback, lines, !args.no_wait, &mut report).await?;
        if args.no_wait {
            report.look_once(&markback, taken).await
        } else {
            settle(&markback, taken, &mut report).await
        }
    };
    let done = tokio::select! {
        done = work => Some(done),
        () = signals.next() => None,
    };
    stop.cancel();
    if let Some(workers) = workers {
        let ended = tokio::time::timeout(STOP_WITHIN, workers)
            .await
            .context("stopping took too long; unfinished work continues when its lease expires")?;
        ended_well("the workers", ended)?;
    }
    done.unwrap_or_else(|| {
        report.interrupted = true;
        Ok(())
    })?;
    report.print(args.format, args.no_wait)?;
    Ok(report.exit_code(args.no_wait))
}

/// Submits the valid lines of the log and records the invalid ones. Returns the accepted events in order, each once.
async fn take_in(
    markback: &Markback,
    mut lines: Lines,
    wait: bool,
    report: &mut Report,
) -> anyhow::Result<VecDeque<(SchoolId, String)>> {
    let start = Instant::now();
    let mut taken = VecDeque::new();
    let mut seen = HashSet::new();
    let actor = recorded::actor(None, None);
    while let Some(batch) = lines.batch(BATCH)? {
        report.lines += batch.read;
        report.bad.extend(batch.bad);
        for (school, mut lines) in batch.good {
            if wait {
                people_known(markback, &school, start).await?;
            }
            while !lines.is_empty() {
                let events = lines.iter().map(|line| line.event.clone()).collect();
                match markback.intake_by(&actor, &school, events).await {
                    Ok(receipts) => {
                        for receipt in receipts {
                            let key = (school.clone(), receipt.id);
                            if seen.insert(key.clone()) {
                                taken.push_back(key);
                            }
                        }
                        break;
                    }
                    Err(error) => lines = without_bad(lines, error, report)?,
                }
            }
        }
    }
    report.events = taken.len();
    report.bad.sort_by_key(|bad| bad.line);
    Ok(taken)
}

/// Waits for a school's people, so that unknown people are reported with their line. The wait is limited: without them,
/// events are accepted and decided later.
async fn people_known(
    markback: &Markback,
    school: &SchoolId,
    start: Instant,
) -> anyhow::Result<()> {
    while markback.settings().school(school).is_some()
        && start.elapsed() < PEOPLE_WITHIN
        && markback.people().of(school).await?.is_none()
    {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The valid lines; the others are recorded.
fn without_bad(
    lines: Vec<Line>,
    error: IntakeError,
    report: &mut Report,
) -> anyhow::Result<Vec<Line>> {
    let problems = match error {
        IntakeError::Problems(problems) | IntakeError::Conflict(problems) => problems,
        IntakeError::UnknownSchool { .. } => {
            report.bad.extend(lines.iter().map(Bad::unknown_school));
            return Ok(Vec::new());
        }
        other => {
            let first = lines.first().map_or(0, |line| line.number);
            return Err(anyhow::Error::from(other).context(format!(
                "the log was received up to line {}; replay it again, no event is stored twice",
                first.saturating_sub(1)
            )));
        }
    };
    let before = report.bad.len();
    let mut bad = HashSet::new();
    for problem in problems {
        if let Some((index, line)) = problem.place().and_then(|at| Some((at, lines.get(at)?))) {
            bad.insert(index);
            report.bad.push(Bad::of(line, problem));
        }
    }
    anyhow::ensure!(
        report.bad.len() > before,
        "the service refused these events without naming them"
    );
    let left = lines.into_iter().enumerate();
    Ok(left
        .filter(|(index, _)| !bad.contains(index))
        .map(|(_, line)| line)
        .collect())
}

/// Waits until all accepted events are settled, or wait for a person's release.
async fn settle(
    markback: &Markback,
    mut waiting: VecDeque<(SchoolId, String)>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let bar = bar(waiting.len());
    while let Some((school, id)) = waiting.front() {
        match markback.event(school, id).await? {
            Some(record) if !record.state.is_final() && record.state != EventState::Held => {
                tokio::time::sleep(LOOK_EVERY).await
            }
            found => {
                report.count(found.as_ref());
                waiting.pop_front();
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A progress bar on standard error; hidden without a terminal.
fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} events settled, {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}

/// The school of lines without a school.
fn default_school(settings: &Settings, asked: Option<&str>) -> Result<Option<SchoolId>, BadInput> {
    match (asked, settings.schools.as_slice()) {
        (Some(id), _) => Ok(Some(named::school(settings, id)?.id.clone())),
        (None, [only]) => Ok(Some(only.id.clone())),
        (None, _) => Ok(None),
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, BadInput> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(|error| {
        BadInput(format!(
            "the log {} cannot be read: {error}; name another",
            path.display()
        ))
    })?;
    Ok(Box::new(std::io::BufReader::new(file)))
}
