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

#[tokio::test]
async fn a_transaction_that_begins_ahead_waits_for_one_of_the_others_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let db = outbox::Database::open(&url).await.unwrap();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let first = db.begin().await.unwrap();
    let mut tasks = Vec::new();
    for name in ["other", "other", "other", "ahead"] {
        let (db, order) = (db.clone(), order.clone());
        let (polled, began) = tokio::sync::oneshot::channel();
        tasks.push(tokio::spawn(async move {
            let begin = async {
                if name == "ahead" {
                    db.begin_ahead().await
                } else {
                    db.begin().await
                }
            };
            tokio::pin!(begin);
            // It waits now, as the first transaction has the writer.
            let waits = poll_once(begin.as_mut()).await;
            assert!(waits.is_none());
            polled.send(()).unwrap();
            let tx = begin.await.unwrap();
            order.lock().unwrap().push(name);
            tx.commit().await.unwrap();
        }));
        began.await.unwrap();
    }
    first.commit().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert_eq!(*order, ["other", "ahead", "other", "other"]);
}

#[tokio::test]
async fn postgres_keeps_a_connection_for_transactions_that_begin_ahead() {
    let Some(server) = server() else { return };
    let url = server.create_database().unwrap();
    let options = outbox::OpenOptions::default()
        .max_connections(1)
        .busy_timeout(std::time::Duration::from_millis(200));
    let db = outbox::Database::open_with(&url, &options).await.unwrap();
    let mut held = Vec::new();
    while let Ok(tx) = db.begin().await {
        held.push(tx);
    }
    assert!(!held.is_empty());
    let ahead = db.begin_ahead().await.unwrap();
    ahead.rollback().await.unwrap();
}

/// Polls a future once, and returns its output if it is ready.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
