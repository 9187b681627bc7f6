//! `markback bench php`: the same marks by the service and by Wonde's public PHP client in its usual loop.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use futures::future::try_join_all;
use markback_console::{BadInput, output::TableOrJson};
use serde::Deserialize;
use tokio::process::Command;
use wonde_sandbox::RequestCounts;

use super::{
    LINE,
    database::Fresh,
    load,
    node::Node,
    parts::{self, Bars, per_second},
    stage::{EVENTS_MIN, Sent, Stage},
};
use markback::{schools::token_key, settings, store::Store};

/// The loop that uses the client.
const SCRIPT: &str = include_str!("morning.php");
/// A school of the sandbox has more pupils on roll than this.
const EVENTS_MAX: usize = 1_000;
/// When all pupils sign in, in minutes after midnight: in time, so that all marks are the same.
const SIGN_IN: i64 = 8 * 60 + 30;
/// The attendance code of the same mark.
const PRESENT: &str = "/";
/// The time limit for the service's marks.
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// The arguments of `markback bench php`.
#[derive(Clone, Debug, Args)]
pub struct PhpArgs {
    /// Folder of Wonde's PHP client (github.com/wondeltd/php-client), in which `composer install` was run
    #[arg(long, value_name = "DIR")]
    pub client: Option<PathBuf>,
    /// PHP program, with the extensions curl and json
    #[arg(long, value_name = "PATH", default_value = "php")]
    pub php: PathBuf,
    /// Numbers of PHP processes that share the events, one measurement for each number
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 8])]
    pub processes: Vec<usize>,
    /// Number of pupils of one school who sign in
    #[arg(long, value_name = "N", default_value_t = EVENTS_MAX)]
    pub events: usize,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

impl PhpArgs {
    /// Checks the arguments, and that client and program are there.
    pub(super) fn check(&self) -> Result<(), BadInput> {
        if !(1..=EVENTS_MAX).contains(&self.events) {
            return Err(BadInput(format!(
                "--events takes a number from 1 to {EVENTS_MAX}"
            )));
        }
        if self
            .processes
            .iter()
            .any(|processes| !(1..=64).contains(processes))
        {
            return Err(BadInput(
                "--processes takes numbers from 1 to 64".to_owned(),
            ));
        }
        let autoload = self.autoload()?;
        if !autoload.is_file() {
            return Err(BadInput(format!(
                "there is no {}; run `composer install` in the folder of the client",
                autoload.display()
            )));
        }
        let version = std::process::Command::new(&self.php)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        match version {
            Ok(output) if output.status.success() => Ok(()),
            Ok(_) => Err(self.without_php("fails when asked for its version")),
            Err(error) => Err(self.without_php(&format!("cannot be run: {error}"))),
        }
    }

    fn without_php(&self, why: &str) -> BadInput {
        let php = self.php.display();
        BadInput(format!(
            "{php} {why}; install PHP with curl, or name the program with --php"
        ))
    }

    /// What the script needs to use the client.
    fn autoload(&self) -> Result<PathBuf, BadInput> {
        match &self.client {
            Some(client) => Ok(client.join("vendor/autoload.php")),
            None => Err(BadInput(
                "Wonde's PHP client is not part of this program: get github.com/wondeltd/php-client, run `composer \
                 install` in it, and name the folder with --client"
                    .to_owned(),
            )),
        }
    }
}

/// Both sides, with the same time that each answer takes.
pub(super) struct Comparison {
    pub(super) answer_after: Duration,
    pub(super) service: Side,
    /// One for each number of processes.
    pub(super) php: Vec<Side>,
}

/// What one side did.
pub(super) struct Side {
    /// The number of PHP processes; none for the service.
    pub(super) processes: Option<usize>,
    pub(super) marks: usize,
    /// Until the last mark was accepted.
    pub(super) took: Duration,
    pub(super) requests: RequestCounts,
    /// The processor time of its processes.
    pub(super) cpu: Option<Duration>,
}

impl Side {
    /// Marks per second.
    pub(super) fn rate(&self) -> f64 {
        per_second(self.marks, self.took)
    }

    /// Microseconds.
    pub(super) fn cpu_per_mark(&self) -> Option<f64> {
        let marks = u32::try_from(self.marks).ok()?;
        Some(self.cpu?.as_secs_f64() * 1e6 / f64::from(marks))
    }
}

/// Measures both, first with answers at once, then over a line.
pub(super) async fn measure(args: &PhpArgs, bars: &Bars) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for answer_after in [Duration::ZERO, LINE] {
        comparisons.push(compare(args, answer_after, bars).await?);
    }
    Ok(comparisons)
}

async fn compare(
    args: &PhpArgs,
    answer_after: Duration,
    bars: &Bars,
) -> anyhow::Result<Comparison> {
    let stage = bars
        .during("setting up the sandbox", Stage::set(EVENTS_MIN))
        .await?;
    let morning = Morning::of(&stage, args.events).await?;
    // The service goes first: it would find the marks of the PHP client, and write none.
    let service = service(&stage, &morning, answer_after);
    let service = bars.during("the service", service).await?;
    let mut sides = Vec::new();
    for &processes in &args.processes {
        let php = php(args, &stage, &morning, processes);
        sides.push(bars.during("the PHP client", php).await?);
    }
    stage.strike().await;
    Ok(Comparison {
        answer_after,
        service,
        php: sides,
    })
}

/// Pupils of one school, each of whom comes once.
struct Morning {
    /// The school's place on the stage, and its id.
    school: usize,
    id: String,
    pupils: Vec<String>,
    /// The id of [`PRESENT`] there.
    code: String,
}

impl Morning {
    /// At the first school whose MIS stores marks of sessions.
    async fn of(stage: &Stage, events: usize) -> anyhow::Result<Self> {
        let of_sessions: Vec<_> = stage.sandbox.schools();
        let of_sessions = |id: &str| {
            of_sessions
                .iter()
                .any(|school| school.id == id && school.register == "session")
        };
        let found = stage
            .schools
            .iter()
            .enumerate()
            .find(|(_, school)| of_sessions(&school.id));
        let (place, school) = found.context("no school stores marks of sessions")?;
        let pupils: Vec<_> = school.pupils.iter().take(events).cloned().collect();
        ensure!(
            pupils.len() == events,
            "the school has {} pupils only",
            pupils.len()
        );
        let code = stage.code(&school.id, PRESENT).await?;
        Ok(Self {
            school: place,
            id: school.id.clone(),
            pupils,
            code: code.to_string(),
        })
    }

    fn events(&self, stage: &Stage) -> Vec<Sent> {
        let pupils = self.pupils.iter();
        pupils
            .map(|pupil| stage.sign_in_at(self.school, pupil, SIGN_IN))
            .collect()
    }

    /// The events of one of several PHP processes, as its script reads them.
    fn lines(&self, stage: &Stage, process: usize, processes: usize) -> String {
        let (school, date, code) = (&self.id, stage.date, &self.code);
        let pupils = self.pupils.iter().skip(process).step_by(processes);
        pupils
            .map(|pupil| format!("{school},{pupil},{date},AM,{code}\n"))
            .collect()
    }
}

/// The service gets all events while the token is paused; then the pause ends.
async fn service(stage: &Stage, morning: &Morning, answer_after: Duration) -> anyhow::Result<Side> {
    let schools = stage.schools.get(morning.school..=morning.school);
    let path = stage.settings("php", schools.context("there is no such school")?)?;
    let settings = settings::load(&path)?.settings;
    let key = settings.schools.first().map(token_key);
    let key = key.context("there is no school")?;
    let fresh = Fresh::sqlite(stage)?;
    let http = load::client()?;
    let node = Node::start(&path, &fresh).await?;
    node.knows(&http, stage, &[&morning.id]).await?;
    let store = parts::open(&fresh).await?;
    parts::registers_read(&store, DONE_WITHIN).await?;
    parts::pause(&store, &key).await?;
    stage.answer_after(answer_after)?;

    stage.sandbox.reset_requests();
    let cpu_before = node.processor_time();
    let since = store.now_ms();
    let mut events = morning.events(stage);
    let marks = events.len();
    // Whoever ends a pause in an SQLite file from outside wakes nobody: the last event does.
    let last = events.split_off(marks.saturating_sub(1));
    load::in_lists(&http, stage, &node, events, || ()).await?;
    let begin = store.now_ms();
    parts::resume(&store, &key).await?;
    load::one_by_one(&http, stage, &node, last, || ()).await?;
    let accepted = settled(&store, since, marks).await?;
    let cpu = node
        .processor_time()
        .zip(cpu_before)
        .map(|(now, before)| now.saturating_sub(before));
    let requests = stage.sandbox.requests();
    node.end().await?;
    store.database().close().await;
    Ok(Side {
        processes: None,
        marks,
        took: Duration::from_millis(u64::try_from(accepted - begin)?),
        requests,
        cpu,
    })
}

/// Waits until all marks are confirmed, and returns the time of the last acceptance in milliseconds.
async fn settled(store: &Store, since: i64, marks: usize) -> anyhow::Result<i64> {
    parts::all_settled(store, DONE_WITHIN).await?;
    let (accepted, last) = parts::accepted(store, since).await?;
    ensure!(
        accepted == u64::try_from(marks)?,
        "not all of {marks} events were accepted: {}",
        parts::states(store).await?
    );
    Ok(last)
}

/// What the script prints.
#[derive(Debug, Deserialize)]
struct Done {
    marks: usize,
    cpu_micros: u64,
}

async fn php(
    args: &PhpArgs,
    stage: &Stage,
    morning: &Morning,
    processes: usize,
) -> anyhow::Result<Side> {
    let script = stage.write("morning.php", SCRIPT)?;
    let mut files = Vec::new();
    for process in 0..processes {
        let lines = morning.lines(stage, process, processes);
        files.push(stage.write(&format!("events-{process}.csv"), &lines)?);
    }
    stage.sandbox.reset_requests();
    let begin = Instant::now();
    let runs = files.iter().map(|events| run(args, stage, &script, events));
    let done = try_join_all(runs).await?;
    let took = begin.elapsed();
    let (marks, requests) = (
        done.iter().map(|done| done.marks).sum(),
        stage.sandbox.requests(),
    );
    ensure!(
        marks == morning.pupils.len() && requests.marks_accepted == u64::try_from(marks)?,
        "the PHP client wrote {marks} marks of {}; {} were accepted",
        morning.pupils.len(),
        requests.marks_accepted
    );
    let micros = done.iter().map(|done| done.cpu_micros).sum();
    Ok(Side {
        processes: Some(processes),
        marks,
        took,
        requests,
        cpu: Some(Duration::from_micros(micros)),
    })
}

/// Runs one process to its end.
async fn run(args: &PhpArgs, stage: &Stage, script: &Path, events: &Path) -> anyhow::Result<Done> {
    let output = Command::new(&args.php)
        .arg(script)
        .arg(args.autoload()?)
        .arg(stage.sandbox.base_url())
        .arg(stage.folder.path().join("wonde-token"))
        .arg(stage.day_began().format("%Y-%m-%d %H:%M:%S").to_string())
        .arg(events)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("PHP cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "the PHP script failed, {}: {}{text}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let last = text.trim().lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the PHP script printed {text:?}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rstest::rstest;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: PhpArgs,
    }

    fn args(line: &[&str]) -> PhpArgs {
        Line::try_parse_from(std::iter::once(&"php").chain(line))
            .unwrap()
            .args
    }

    #[rstest]
    #[case(&[], "name the folder with --client")]
    #[case(&["--client", "/nowhere"], "there is no /nowhere/vendor/autoload.php; run `composer install`")]
    #[case(&["--events", "0"], "--events takes a number from 1 to 1000")]
    #[case(&["--events", "1001"], "--events takes a number from 1 to 1000")]
    #[case(&["--processes", "1,0"], "--processes takes numbers from 1 to 64")]
    fn what_is_missing_is_told(#[case] line: &[&str], #[case] message: &str) {
        let told = args(line).check().unwrap_err().to_string();
        assert!(told.contains(message), "{told}");
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("vendor")).unwrap();
        std::fs::write(folder.path().join("vendor/autoload.php"), "<?php\n").unwrap();
        let client = folder.path().to_str().unwrap();
        let told = args(&["--client", client, "--php", "/nowhere/php"]).check();
        let told = told.unwrap_err().to_string();
        assert!(
            told.starts_with("/nowhere/php cannot be run") && told.ends_with("with --php"),
            "{told}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_event_is_in_one_process_file() {
        let stage = Stage::set(EVENTS_MIN).await.unwrap();
        let morning = Morning::of(&stage, 10).await.unwrap();
        let files: Vec<String> = (0..3).map(|n| morning.lines(&stage, n, 3)).collect();
        let counts: Vec<usize> = files.iter().map(|file| file.lines().count()).collect();
        assert_eq!(counts, [4, 3, 3]);
        let first = files[0].lines().next().unwrap();
        let fields: Vec<&str> = first.split(',').collect();
        let date = stage.date.to_string();
        assert_eq!(
            fields,
            [
                &*morning.id,
                &*morning.pupils[0],
                &*date,
                "AM",
                &*morning.code
            ]
        );
        let mut pupils: Vec<&str> = files
            .iter()
            .flat_map(|file| file.lines())
            .filter_map(|line| line.split(',').nth(1))
            .collect();
        let mut all: Vec<&str> = morning.pupils.iter().map(String::as_str).collect();
        pupils.sort_unstable();
        all.sort_unstable();
        assert_eq!(pupils, all);
        stage.strike().await;
    }
}
