//! Many at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use outbox::{ClaimRequest, Enqueued, NewJob, Outbox};
use serde_json::json;

use crate::support::*;

const LINES: usize = 30;
const PER_LINE: usize = 12;

/// What the workers did, per line: the keys in the order in which they were completed.
type Done = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Claims and completes until all is done. `dies` says of which claims the worker forgets.
async fn work(
    s: Arc<Store>,
    outbox: Outbox,
    request: ClaimRequest,
    dies: fn(u32) -> bool,
    done: Done,
) {
    let mut turn = 0;
    loop {
        let jobs = outbox.claim("q", &request).await.unwrap();
        if jobs.is_empty() {
            let all = done.lock().unwrap().values().map(Vec::len).sum::<usize>();
            if all == LINES * PER_LINE {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        }
        let lines: HashSet<_> = jobs.iter().map(|job| &job.order_key).collect();
        assert_eq!(lines.len(), jobs.len(), "a line twice in one claim");
        turn += 1;
        if dies(turn) {
            // It never answers; time goes by.
            s.clock.advance(LEASE);
        } else {
            let mut tx = s.db.begin().await.unwrap();
            let settled = outbox.complete(&mut tx, &held(&jobs)).await.unwrap();
            {
                // Still inside the transaction, so that the order is the order of the commits of a line.
                let mut done = done.lock().unwrap();
                for job in jobs.iter().filter(|job| settled.kept.contains(&job.id())) {
                    done.entry(job.order_key.clone().unwrap())
                        .or_default()
                        .push(job.key.clone());
                }
            }
            tx.commit().await.unwrap();
        }
    }
}

async fn many_workers(s: Store, single_partition: bool, dies: fn(u32) -> bool) {
    let s = Arc::new(s);
    let done: Done = Arc::default();
    let request = if single_partition {
        ClaimRequest::single_partition(7, LEASE, std::time::Duration::ZERO)
    } else {
        ClaimRequest::mixed(7, LEASE)
    };
    let mut writers = Vec::new();
    // While some put in, others already work.
    for writer in 0..3 {
        let s = Arc::clone(&s);
        writers.push(tokio::spawn(async move {
            for round in 0..PER_LINE {
                let jobs: Vec<NewJob> = (0..LINES)
                    .filter(|line| line % 3 == writer)
                    .map(|line| {
                        NewJob::new("q", format!("{line}/{round:02}"), json!(round))
                            .order_key(line.to_string())
                            .partition(format!("partition {}", line % 4))
                    })
                    .collect();
                s.enqueue(&jobs).await;
            }
        }));
    }
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let outbox = s.another_worker();
            tokio::spawn(work(
                Arc::clone(&s),
                outbox,
                request.clone(),
                dies,
                Arc::clone(&done),
            ))
        })
        .collect();
    for task in writers.into_iter().chain(workers) {
        task.await.unwrap();
    }
    let done = done.lock().unwrap();
    assert_eq!(done.len(), LINES);
    for (line, keys) in done.iter() {
        let expected: Vec<String> = (0..PER_LINE)
            .map(|round| format!("{line}/{round:02}"))
            .collect();
        assert_eq!(keys, &expected, "line {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_workers_complete_each_job_once_and_in_order_sqlite() {
    many_workers(Store::sqlite().await, false, |_| false).await;
    many_workers(Store::sqlite().await, true, |_| false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_workers_complete_each_job_once_and_in_order_postgres() {
    for single_partition in [false, true] {
        if let Some(s) = Store::postgres().await {
            many_workers(s, single_partition, |_| false).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_die_lose_no_jobs_sqlite() {
    many_workers(Store::sqlite().await, false, |turn| turn % 5 == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_die_lose_no_jobs_postgres() {
    if let Some(s) = Store::postgres().await {
        many_workers(s, false, |turn| turn % 5 == 3).await;
    }
}

both! {
    async fn the_same_key_enqueued_concurrently_is_one_job(s: &Store) {
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let (db, outbox) = (s.db.clone(), s.outbox.clone());
            tasks.push(tokio::spawn(async move {
                let mut seen = HashMap::new();
                for n in 0..40 {
                    let mut tx = db.begin().await.unwrap();
                    let jobs = [lined(&n.to_string(), &format!("line {}", n % 7))];
                    let answer = outbox.enqueue(&mut tx, &jobs).await.unwrap().jobs[0];
                    tx.commit().await.unwrap();
                    seen.insert(n, answer);
                }
                seen
            }));
        }
        let mut new = HashSet::new();
        let mut ids = HashMap::new();
        for task in tasks {
            for (n, answer) in task.await.unwrap() {
                assert_eq!(*ids.entry(n).or_insert(answer.id()), answer.id());
                if let Enqueued::New(id) = answer {
                    assert!(new.insert(id), "two were told that it is new");
                }
            }
        }
        assert_eq!(new.len(), 40);
    }

    async fn concurrent_claims_are_disjoint(s: &Store) {
        let jobs: Vec<_> = (0..400).map(|n| job(&n.to_string())).collect();
        s.enqueue(&jobs).await;
        let tasks: Vec<_> = (0..8).map(|_| {
            let outbox = s.another_worker();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for _ in 0..5 {
                    mine.extend(keys(&outbox.claim("q", &ClaimRequest::mixed(10, LEASE)).await.unwrap()));
                }
                mine
            })
        }).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        assert_eq!(all.len(), 400);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 400);
    }
}
