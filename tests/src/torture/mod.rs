//! Torture: a busy morning driven over HTTP at real `markback serve` processes that are killed and frozen, on a store that
//! is restarted, towards a sandbox full of faults. Afterwards the sandbox's MIS must hold exactly what a run without any of
//! that leaves in it, and every event must have come to its end. Beside it a teacher and an office dispute the marks of some
//! more pupils: no protected code that Wonde had shown may be written over.

mod client;
mod dispute;
mod env;
mod faults;
mod morning;
mod node;
mod report;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use markback::store::Store;
use throwaway_postgres::Server;
use wonde_sandbox::FaultRule;

pub use env::{Env, KEY, StoreKind};
pub use morning::Morning;
pub use node::Node;
pub use report::Report;

/// How long everything may take to come to its end once nobody is tortured any more. Long, for the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is done to whom, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub program: String,
    /// Where everything random comes from.
    pub seed: u64,
    /// The store.
    pub store: StoreKind,
    /// How many nodes share it; on SQLite there is one.
    pub nodes: usize,
    /// For how long events come in.
    pub lasts: Duration,
    /// How many of them a second.
    pub rate: u32,
    /// Whether nodes are killed.
    pub kills: bool,
    /// Whether nodes are frozen for longer than their leases last.
    pub freezes: bool,
    /// Whether PostgreSQL is restarted.
    pub restarts: bool,
    /// The share of requests to the sandbox that meet a fault; above zero its MIS goes away and its copies grow old, too.
    pub faults: f64,
}

/// Carries it out.
///
/// # Panics
/// When something that is no part of the torture does not work.
pub async fn run(plan: &Plan) -> Report {
    let morning = Morning::of(plan.seed, plan.lasts, plan.rate);
    let peace = env::in_peace(plan, &morning).await;
    let postgres = match plan.store {
        StoreKind::Sqlite => None,
        StoreKind::Postgres => throwaway_postgres::start_or_skip(&Server::builder()).unwrap(),
    };
    let env = Env::new(plan, &morning, postgres).await;
    let nodes = faults::start_nodes(plan, &env).await;
    let began = Instant::now();
    let mut report = Report::new(plan, &morning);
    let client = client::Client::new(&nodes);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let faults = tokio::spawn(faults::inject(
        plan.clone(),
        Arc::clone(&env),
        Arc::clone(&nodes),
        stopped,
    ));
    let disputes = tokio::spawn(dispute::dispute(
        plan.clone(),
        Arc::clone(&env),
        Arc::clone(&client),
    ));
    report.turned_away = client.bring(&env, &morning, plan).await;
    report.disputed(disputes.await.unwrap());
    // Some more of it while the last events are on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    if plan.faults > 0.0 {
        every_fault_met(&env).await;
    }
    stop.send(true).unwrap();
    let done = faults.await.unwrap();
    report.suffered(&done);
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
    let (wanted, badly) = env.ends(&morning, &store).await;
    report.ended_badly = badly;
    report.compare(&peace, &env.marks(), &wanted);
    report.overwritten = dispute::overwritten(&env, &store).await;
    report.took = began.elapsed();
    report.requests = env.sandbox.requests().total;
    for node in nodes.iter() {
        node.lock().await.end();
    }
    if !report.is_clean() {
        report.kept = Some(env.keep());
    }
    report
}

/// Waits until every fault was met at least once, or nothing is left that could meet one: on a busy machine the first few
/// may hold up all else for longer than the events come in.
async fn every_fault_met(env: &Env) {
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
            1..200 => open.saturating_sub(dispute::waiting_for_a_word(env, store).await),
            _ => open,
        };
        if open == 0 || Instant::now() > end {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
