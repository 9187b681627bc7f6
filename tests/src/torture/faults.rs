//! Faults of nodes, database and sandbox while the events come in.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use throwaway_postgres::Stop;
use tokio::sync::{Mutex, watch};

use super::{Env, Node, Plan, StoreKind};

/// Longer than a lease in the environment's settings.
const FROZEN: Duration = Duration::from_millis(3500);

/// The places for nodes.
pub(crate) type Nodes = Arc<Vec<Mutex<Node>>>;

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) kills: u32,
    pub(crate) freezes: u32,
    pub(crate) restarts: u32,
    pub(crate) away: u32,
}

/// Starts as many as are planned.
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

/// Does one thing after the other until it is stopped, and leaves all nodes at work.
pub(crate) async fn inject(
    plan: Plan,
    env: Arc<Env>,
    nodes: Nodes,
    mut stopped: watch::Receiver<bool>,
) -> Done {
    let mut random = StdRng::seed_from_u64(plan.seed ^ 0x00c0_ffee);
    let mut done = Done::default();
    let deeds: Vec<Deed> = [
        (plan.kills, Deed::Kill),
        (plan.kills, Deed::Kill),
        (plan.freezes && nodes.len() > 1, Deed::Freeze),
        (plan.restarts && env.postgres.is_some(), Deed::Restart),
        (plan.faults > 0.0, Deed::Away),
    ]
    .into_iter()
    .filter_map(|(planned, deed)| planned.then_some(deed))
    .collect();
    // Each of them once at first, however short the run is.
    let mut first = deeds.clone();
    loop {
        let rest = Duration::from_millis(random.random_range(100..1200));
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = stopped.changed() => return done,
        }
        let Some(deed) = first.pop().or_else(|| deeds.choose(&mut random).copied()) else {
            continue;
        };
        let place = random.random_range(0..nodes.len());
        match deed {
            Deed::Kill => {
                let mut node = nodes[place].lock().await;
                node.end();
                tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
                node.start(&env).await;
                done.kills += 1;
            }
            Deed::Freeze => {
                nodes[place].lock().await.freeze();
                tokio::time::sleep(FROZEN).await;
                nodes[place].lock().await.wake();
                done.freezes += 1;
            }
            Deed::Restart => {
                let how = *[Stop::Fast, Stop::Immediate].choose(&mut random).unwrap();
                restart(&env, how).await;
                done.restarts += 1;
            }
            Deed::Away => {
                let schools = env.sandbox.schools();
                let school = &schools.choose(&mut random).unwrap().id;
                let length = Some(Duration::from_millis(random.random_range(500..3000)));
                if random.random_bool(0.5) {
                    env.sandbox.set_offline(school, length).unwrap();
                } else {
                    env.sandbox.set_stale(school, length).unwrap();
                }
                done.away += 1;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Kill,
    Freeze,
    Restart,
    Away,
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
