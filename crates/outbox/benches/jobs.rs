//! Jobs per second through enqueue, claim and complete, on both stores, with full durability.
//!
//! `cargo bench -p outbox`. Each step is one transaction for a batch of jobs, with a table that already holds
//! finished ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement may stop at the first surprise"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use outbox::{
    ClaimRequest, ClaimedJob, Database, LeaseToken, NewJob, Outbox, Settings, SystemClock,
};
use serde_json::json;
use throwaway_postgres::Server;
use tokio::runtime::Runtime;

const BATCH: u64 = 250;
const LEASE: Duration = Duration::from_secs(600);
const FINISHED: u64 = 50_000;

static NEXT: AtomicU64 = AtomicU64::new(0);

fn batch(queue: &str) -> Vec<NewJob> {
    let first = NEXT.fetch_add(BATCH, Ordering::Relaxed);
    (first..first + BATCH)
        .map(|n| {
            NewJob::new(queue, format!("event-{n:012}"), json!({ "event": n }))
                .order_key(format!("school-{}/pupil-{}", n % 50, n))
                .partition(format!("school-{}", n % 50))
                .throttle_key("token-1")
                .supersede_key("2026-11-23 am")
        })
        .collect()
}

async fn enqueue(outbox: &Outbox, queue: &str) {
    let mut tx = outbox.database().begin().await.unwrap();
    outbox.enqueue(&mut tx, &batch(queue)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn claim(outbox: &Outbox) -> Vec<ClaimedJob> {
    let request = ClaimRequest::mixed(u32::try_from(BATCH).unwrap(), LEASE);
    outbox.claim("work", &request).await.unwrap()
}

async fn complete(outbox: &Outbox, jobs: &[ClaimedJob]) {
    let held: Vec<LeaseToken> = jobs.iter().map(|job| job.lease).collect();
    let mut tx = outbox.database().begin().await.unwrap();
    outbox
        .complete(&mut tx, &held)
        .await
        .unwrap()
        .all()
        .unwrap();
    tx.commit().await.unwrap();
}

/// A store with finished jobs in it.
async fn store(url: &str) -> Outbox {
    let db = Database::open(url).await.unwrap();
    let outbox = Outbox::new(db, Settings::default(), Arc::new(SystemClock));
    outbox.migrate().await.unwrap();
    for _ in 0..FINISHED / BATCH {
        enqueue(&outbox, "work").await;
        complete(&outbox, &claim(&outbox).await).await;
    }
    outbox
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| {
    let binaries = throwaway_postgres::Binaries::find().ok()?;
    Some(Server::builder().durable(true).start(&binaries).unwrap())
});
static SQLITE: LazyLock<Outbox> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap().keep();
    RUNTIME.block_on(store(&format!(
        "sqlite://{}",
        folder.join("store.db").display()
    )))
});
static POSTGRES: LazyLock<Outbox> = LazyLock::new(|| {
    let url = SERVER.as_ref().unwrap().create_database().unwrap();
    RUNTIME.block_on(store(&url))
});

fn stores() -> Vec<&'static str> {
    let postgres = SERVER.as_ref().map(|_| "postgres");
    ["sqlite"].into_iter().chain(postgres).collect()
}

fn outbox(store: &str) -> &'static Outbox {
    match store {
        "sqlite" => &SQLITE,
        _ => &POSTGRES,
    }
}

#[divan::bench(args = stores())]
fn enqueue_a_batch(bencher: Bencher<'_, '_>, store: &str) {
    let outbox = outbox(store);
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| RUNTIME.block_on(enqueue(outbox, "filled")));
}

#[divan::bench(args = stores())]
fn enqueue_claim_and_complete_a_batch(bencher: Bencher<'_, '_>, store: &str) {
    let outbox = outbox(store);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        RUNTIME.block_on(async {
            enqueue(outbox, "work").await;
            complete(outbox, &claim(outbox).await).await;
        });
    });
}

/// Named so that it runs last: it leaves claimed jobs behind.
#[divan::bench(args = stores())]
fn then_claim_a_batch(bencher: Bencher<'_, '_>, store: &str) {
    let outbox = outbox(store);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| RUNTIME.block_on(enqueue(outbox, "work")))
        .bench_local_values(|()| RUNTIME.block_on(claim(outbox)));
}

fn main() {
    divan::main();
}
