//! Jobs per second through enqueue, claim and complete, on both stores, with full durability.
//!
//! `cargo bench -p outbox`. Each step is one transaction for a batch of jobs, with a table that already holds
//! finished ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement may stop at the first surprise"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outbox::{
    ClaimRequest, ClaimedJob, Database, LeaseToken, NewJob, Outbox, Settings, SystemClock,
};
use serde_json::json;
use throwaway_postgres::{Binaries, Server};
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

fn measure(c: &mut Criterion, name: &str, runtime: &Runtime, outbox: &Outbox) {
    let mut group = c.benchmark_group(name);
    group
        .throughput(Throughput::Elements(BATCH))
        .sample_size(20);
    group.bench_function("enqueue", |b| {
        b.to_async(runtime).iter(|| enqueue(outbox, "filled"))
    });
    group.bench_function("claim", |b| {
        b.iter_custom(|times| {
            runtime.block_on(async {
                let mut taken = Duration::ZERO;
                for _ in 0..times {
                    enqueue(outbox, "work").await;
                    let began = std::time::Instant::now();
                    let jobs = claim(outbox).await;
                    taken += began.elapsed();
                    complete(outbox, &jobs).await;
                }
                taken
            })
        });
    });
    group.bench_function("enqueue, claim and complete", |b| {
        b.to_async(runtime).iter(|| async {
            enqueue(outbox, "work").await;
            complete(outbox, &claim(outbox).await).await;
        });
    });
    group.finish();
}

fn jobs(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    let outbox = runtime.block_on(store(&url));
    measure(c, "sqlite", &runtime, &outbox);

    if let Ok(binaries) = Binaries::find() {
        let server = Server::builder().durable(true).start(&binaries).unwrap();
        let outbox = runtime.block_on(store(&server.create_database().unwrap()));
        measure(c, "postgres", &runtime, &outbox);
        runtime.block_on(outbox.database().close());
    }
}

criterion_group!(benches, jobs);
criterion_main!(benches);
