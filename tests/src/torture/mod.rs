//! The torture test: a busy morning is sent over HTTP to real `markback serve` processes that are killed and frozen, on
//! a database that is restarted, with a sandbox full of faults. Afterwards the sandbox's MISs must have exactly the
//! marks of a run without faults, and every event must be final. In addition, teachers and an office dispute the marks
//! of some other pupils: no protected code that Wonde has shown may be overwritten. If the schools' settings change
//! meanwhile, every mark must be the one that the version in its event's row prescribes.

mod client;
mod dispute;
mod env;
mod faults;
mod feed;
mod morning;
mod node;
mod report;
mod settings;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use markback::store::Store;
use throwaway_postgres::Server;
use wonde_sandbox::FaultRule;

pub use env::{Env, StoreKind};
pub use morning::Morning;
pub use node::Node;
pub use report::Report;

/// The maximum time until all events are final after the last fault. Long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// The parameters of a torture run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The path of the program.
    pub program: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// The database.
    pub store: StoreKind,
    /// The number of nodes on it; one on SQLite.
    pub nodes: usize,
    /// How long events are delivered.
    pub duration: Duration,
    /// The number of events per second.
    pub rate: u32,
    /// Whether nodes are killed.
    pub kills: bool,
    /// Whether nodes are frozen for longer than their leases last.
    pub freezes: bool,
    /// Whether PostgreSQL is restarted.
    pub restarts: bool,
    /// The share of requests to the sandbox that hit a fault. Above zero, its MISs also go offline and its copies
    /// become outdated.
    pub faults: f64,
    /// Whether the schools' settings change in the database.
    pub settings: bool,
}

/// Runs the torture test.
///
/// # Panics
/// If the test itself fails, for example because PostgreSQL does not start.
pub async fn run(plan: &Plan) -> Report {
    let morning = Morning::of(plan.seed, plan.duration, plan.rate);
    let expected = env::marks_without_faults(plan, &morning).await;
    let postgres = match plan.store {
        StoreKind::Sqlite => None,
        StoreKind::Postgres => throwaway_postgres::start_or_skip(&Server::builder()).unwrap(),
    };
    let env = Env::new(plan, &morning, postgres).await;
    if plan.settings {
        settings::adopt(&env).await;
    }
    let nodes = faults::start_nodes(plan, &env).await;
    let began = Instant::now();
    let mut report = Report::new(plan, &morning);
    let client = client::Client::new(&nodes);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let faults = tokio::spawn(faults::inject(
        plan.clone(),
        Arc::clone(&env),
        Arc::clone(&nodes),
        stopped.clone(),
    ));
    let changes = plan
        .settings
        .then(|| tokio::spawn(settings::change(plan.clone(), Arc::clone(&env), stopped)));
    let disputes = tokio::spawn(dispute::dispute(
        plan.clone(),
        Arc::clone(&env),
        Arc::clone(&client),
    ));
    report.retries = client.deliver(&env, &morning, plan).await;
    report.disputed(disputes.await.unwrap());
    // Faults continue while the last events are processed.
    tokio::time::sleep(Duration::from_secs(1)).await;
    if plan.faults > 0.0 {
        wait_for_every_fault(&env).await;
    }
    stop.send(true).unwrap();
    let done = faults.await.unwrap();
    report.add_faults(&done);
    let changes = match changes {
        Some(changes) => Some(changes.await.unwrap()),
        None => None,
    };
    report.faults = env.sandbox.requests().faults;
    env.sandbox.clear_faults();
    for school in env.sandbox.schools() {
        env.sandbox.set_offline(&school.id, None).unwrap();
        env.sandbox.set_stale(&school.id, None).unwrap();
    }
    let store = env.store().await;
    report.open = settled(&store, &env).await;
    report.states = store.tally().await.unwrap().into_iter().fold(
        std::collections::BTreeMap::new(),
        |mut sum, ((_, state), n)| {
            *sum.entry(state.as_str()).or_default() += n;
            sum
        },
    );
    let (wanted, unexpected) = env.outcomes(&morning, &store).await;
    report.unexpected = unexpected;
    let mut marks = env.marks();
    if let Some(changes) = changes {
        report.settings = settings::agreement(&env, &store, changes).await;
        marks = settings::as_without_changes(&marks);
    }
    report.compare(&expected, &marks, &wanted);
    report.overwritten = dispute::overwritten(&env, &store).await;
    report.untold = feed::differences(&store).await;
    report.took = began.elapsed();
    report.requests = env.sandbox.requests().total;
    for node in nodes.iter() {
        node.lock().await.end();
    }
    if !report.is_clean() {
        report.kept = Some(env.keep_files());
    }
    report
}

/// Waits until every fault was met at least once, or nothing is left that could meet one: on a busy machine the first
/// few may hold up all else for longer than the events come in.
async fn wait_for_every_fault(env: &Env) {
    let (store, end) = (env.store().await, Instant::now() + PATIENCE);
    let faults = FaultRule::one_of_each(0);
    let met = || env.sandbox.requests().faults;
    while !faults
        .iter()
        .all(|rule| met().contains_key(rule.fault.name()))
        && store.open_events().await.is_ok_and(|open| open > 0)
        && Instant::now() < end
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until every event has come to its end. Answers how many have not, and should have.
async fn settled(store: &Store, env: &Env) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let open = store.open_events().await.unwrap();
        let open = match open {
            0 => 0,
            // Few enough to be looked at one by one.
            1..200 => open.saturating_sub(dispute::without_outcome(env, store).await),
            _ => open,
        };
        if open == 0 || Instant::now() > end {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
