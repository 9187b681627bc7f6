//! `markback replay`: a log of events through the same path as the service.

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
use super::{ConfigArg, named};
use markback::{
    service::{IntakeError, Markback, Options},
    settings::Settings,
};
use markback_console::output::TextOrJson;

/// Events that are taken in at once.
const BATCH: usize = 200;
/// How often an event that is not settled yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the schools' people are waited for from the start on.
const PEOPLE_WITHIN: Duration = Duration::from_secs(30);

/// Which events, and how to tell.
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
/// When the settings do not hold, or the log or the store cannot be read.
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
        let ended = tokio::time::timeout(STOP_WITHIN, workers).await.context(
            "stopping took too long; what was in hand is taken up again when its lease expires",
        )?;
        ended_well("the workers", ended)?;
    }
    done.unwrap_or_else(|| {
        report.interrupted = true;
        Ok(())
    })?;
    report.print(args.format, args.no_wait)?;
    Ok(report.exit_code(args.no_wait))
}

/// Takes in what is good of the log, and notes what is bad. Answers what was taken in, in its order and once each.
async fn take_in(
    markback: &Markback,
    mut lines: Lines,
    wait: bool,
    report: &mut Report,
) -> anyhow::Result<VecDeque<(SchoolId, String)>> {
    let start = Instant::now();
    let mut taken = VecDeque::new();
    let mut seen = HashSet::new();
    while let Some(batch) = lines.batch(BATCH)? {
        report.lines += batch.read;
        report.bad.extend(batch.bad);
        for (school, mut lines) in batch.good {
            if wait {
                people_known(markback, &school, start).await?;
            }
            while !lines.is_empty() {
                let events = lines.iter().map(|line| line.event.clone()).collect();
                match markback.intake(&school, events).await {
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

/// Waits for a school's people to be read, so that a stranger is told by his line. Not for ever: without them, events are
/// taken in all the same and decided when they are known.
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

/// The lines that nothing is wrong with; the others are noted.
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
                "the log was taken in up to line {}; replay it again, nothing is taken in twice",
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
        "the service would not take these events and does not say which"
    );
    let left = lines.into_iter().enumerate();
    Ok(left
        .filter(|(index, _)| !bad.contains(index))
        .map(|(_, line)| line)
        .collect())
}

/// Waits until everything that was taken in has come to its end.
async fn settle(
    markback: &Markback,
    mut waiting: VecDeque<(SchoolId, String)>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let bar = bar(waiting.len());
    while let Some((school, id)) = waiting.front() {
        match markback.event(school, id).await? {
            Some(record) if !record.state.is_final() => tokio::time::sleep(LOOK_EVERY).await,
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

/// A bar on standard error; hidden where nobody watches.
fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} events settled, {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}

/// The school of lines that name none.
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
