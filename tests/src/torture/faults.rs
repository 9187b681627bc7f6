//! Faults of nodes, database and sandbox while events are delivered.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use throwaway_postgres::Stop;
use tokio::sync::{Mutex, watch};

use super::{Env, Node, Plan, StoreKind};

/// Longer than a lease in the environment's settings.
const FROZEN: Duration = Duration::from_millis(3500);

/// The nodes.
pub(crate) type Nodes = Arc<Vec<Mutex<Node>>>;

/// The number of each kind of fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FaultCounts {
    pub(crate) kills: u32,
    pub(crate) freezes: u32,
    pub(crate) restarts: u32,
    pub(crate) outages: u32,
}

/// Starts the planned number of nodes.
pub(crate) async fn start_nodes(plan: &Plan, env: &Env) -> Nodes {
    let number = match plan.store {
        StoreKind::Sqlite => 1,
        StoreKind::Postgres => plan.nodes.max(1),
    };
    let mut nodes = Vec::with_capacity(number);
    for _ in 0..number {
        let mut node = Node::new(&plan.program);
        node.start(env).await;
        nodes.push(Mutex::new(node));
    }
    Arc::new(nodes)
}

/// Causes one fault after another until it is stopped. All nodes run at the end.
pub(crate) async fn inject(
    plan: Plan,
    env: Arc<Env>,
    nodes: Nodes,
    mut stopped: watch::Receiver<bool>,
) -> FaultCounts {
    let mut random = StdRng::seed_from_u64(plan.seed ^ 0x00c0_ffee);
    let mut done = FaultCounts::default();
    let actions: Vec<Action> = [
        (plan.kills, Action::Kill),
        (plan.kills, Action::Kill),
        (plan.freezes && nodes.len() > 1, Action::Freeze),
        (plan.restarts && env.postgres.is_some(), Action::Restart),
        (plan.faults > 0.0, Action::Outage),
    ]
    .into_iter()
    .filter_map(|(planned, action)| planned.then_some(action))
    .collect();
    // Each kind once at first, even in a short run.
    let mut first = actions.clone();
    loop {
        let rest = Duration::from_millis(random.random_range(100..1200));
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = stopped.changed() => return done,
        }
        let Some(action) = first.pop().or_else(|| actions.choose(&mut random).copied()) else {
            continue;
        };
        let place = random.random_range(0..nodes.len());
        match action {
            Action::Kill => {
                let mut node = nodes[place].lock().await;
                node.end();
                tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
                node.start(&env).await;
                done.kills += 1;
            }
            Action::Freeze => {
                nodes[place].lock().await.freeze();
                tokio::time::sleep(FROZEN).await;
                nodes[place].lock().await.wake();
                done.freezes += 1;
            }
            Action::Restart => {
                let how = *[Stop::Fast, Stop::Immediate].choose(&mut random).unwrap();
                restart(&env, how).await;
                done.restarts += 1;
            }
            Action::Outage => {
                let schools = env.sandbox.schools();
                let school = &schools.choose(&mut random).unwrap().id;
                let length = Some(Duration::from_millis(random.random_range(500..3000)));
                if random.random_bool(0.5) {
                    env.sandbox.set_offline(school, length).unwrap();
                } else {
                    env.sandbox.set_stale(school, length).unwrap();
                }
                done.outages += 1;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Kill,
    Freeze,
    Restart,
    Outage,
}

async fn restart(env: &Arc<Env>, how: Stop) {
    let env = Arc::clone(env);
    let restarted = tokio::task::spawn_blocking(move || {
        if let Some(server) = &env.postgres {
            server.stop(how).unwrap();
            server.start().unwrap();
        }
    });
    restarted.await.unwrap();
}
