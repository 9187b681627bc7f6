//! `markback demo`: a school morning in a sandbox, from sign-ins to marks in the MIS.

pub(crate) mod clock;
mod compare;
mod groups;
mod morning;
mod play;
mod record;
mod replays;
mod schools;
mod stage;
mod tell;

use std::{process::ExitCode, time::Instant};

use axum::Router;
use markback::service::Markback;

use self::{
    compare::Comparison, groups::Groups, morning::Morning, record::Record, replays::Replays,
    stage::Stage, tell::Story,
};
use markback_console::output::TextOrJson;
use markback_console::{BadInput, block_on, logging, signals::Signals};

/// More would take too long to be a demonstration.
const EVENTS_MAX: usize = 50_000;

/// The arguments of `markback demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep the service running afterwards, and print its address and a user for its pages
    #[arg(long)]
    pub stay: bool,
    /// Seed of all random choices; the same seed plays the same morning
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Number of sign-ins and sign-outs to play
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub events: usize,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

/// Makes the pages of a service.
pub type Pages = fn(Markback) -> Router;

/// Plays the morning on a service with these pages.
///
/// # Errors
/// Returns an error if a port, the temporary folder or the service is not available, or if events are not finished in
/// time.
pub fn run(args: Args, pages: Pages) -> anyhow::Result<ExitCode> {
    if !(1..=EVENTS_MAX).contains(&args.events) {
        let given = args.events;
        let told =
            format!("--events {given} cannot be played; name a number from 1 to {EVENTS_MAX}");
        return Err(BadInput(told).into());
    }
    logging::start(logging::COMMAND)?;
    block_on(demo(args, pages))
}

async fn demo(args: Args, pages: Pages) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let begin = Instant::now();
    let stage = Stage::set(args.seed, args.events, pages).await?;
    let morning = Morning::draw(&stage.schools, args.seed, args.events);
    if args.format == TextOrJson::Text {
        tell::opening(&stage, &morning)?;
    }
    let before = stage.marks()?;
    let work = async {
        let resent = play::play(&stage, &morning).await?;
        let records = play::settled(&stage, &morning).await?;
        anyhow::Ok((resent, records))
    };
    let (resent, records): (usize, Vec<Record>) = tokio::select! {
        done = work => done?,
        () = signals.next() => anyhow::bail!("stopped before the morning was over"),
    };
    let comparison = Comparison::of(&before, &stage.marks()?, &records);
    let groups = Groups::of(&stage).await?;
    let replays = Replays::of(&stage, &records).await?;
    let password = if args.stay {
        Some(stage.add_user().await?)
    } else {
        None
    };
    let story = Story {
        stage: &stage,
        groups: &groups,
        replays: &replays,
        morning: &morning,
        records: &records,
        comparison: &comparison,
        resent,
        took: begin.elapsed(),
        password,
    };
    story.tell(args.format)?;
    if args.stay {
        stage.go_on();
        signals.next().await;
    }
    stage.strike().await?;
    Ok(if comparison.holds() && groups.hold() && replays.hold() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
