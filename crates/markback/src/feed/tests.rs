//! The feed: its numbers, filters, cursors and retention, on both databases.

use std::sync::Arc;

use outbox::{TestClock, on_tx};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::store::{EventState, EventUpdate, NewEntry, NewEvent};

const POLL: Duration = Duration::from_millis(5);

struct Stage {
    store: Store,
    feed: Feed,
    clock: Arc<TestClock>,
}

impl Stage {
    async fn new(url: &str) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open(url, settings, clock.clone()).await.unwrap();
        Self {
            feed: Feed::new(store.clone(), POLL, 2),
            store,
            clock,
        }
    }

    async fn publish(&self, entries: &[NewEntry]) {
        let mut tx = self.store.database().begin().await.unwrap();
        self.store.publish(&mut tx, entries).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// All entries after a cursor, read in pages of this size.
    async fn all(&self, after: Option<Cursor>, filter: &FeedFilter, limit: u32) -> Vec<FeedEntry> {
        let mut query = FeedQuery {
            after,
            filter: filter.clone(),
            limit,
            ..FeedQuery::default()
        };
        let mut all = Vec::new();
        loop {
            let page = page_of(self.feed.page(&query).await.unwrap());
            assert!(page.entries.len() <= limit as usize);
            all.extend(page.entries);
            query.after = Some(page.cursor);
            if !page.more {
                return all;
            }
        }
    }
}

fn page_of(read: FeedRead) -> FeedPage {
    match read {
        FeedRead::Page(page) => page,
        FeedRead::Resync => panic!("the cursor is within what is kept"),
    }
}

async fn stages() -> Vec<Stage> {
    let mut stages = vec![Stage::new("sqlite::memory:").await];
    if let Some(server) = throwaway_postgres::shared().unwrap() {
        stages.push(Stage::new(&server.create_database().unwrap()).await);
    }
    stages
}

fn sync(school: &str, id: usize) -> NewEntry {
    NewEntry {
        school: school.to_owned(),
        kind: FeedKind::Sync,
        body: json!({ "id": id.to_string(), "state": "done" }),
    }
}

fn notice(school: &str, text: usize) -> NewEntry {
    NewEntry::notice(school, NoticeWhat::Paused, text.to_string())
}

/// The text or id by which a test knows an entry.
fn tag(entry: &FeedEntry) -> usize {
    let text = match (&entry.sync, &entry.notice) {
        (Some(sync), None) => &sync.id,
        (None, Some(notice)) => &notice.text,
        _ => panic!("{entry:?}"),
    };
    text.parse().unwrap()
}

fn tags(entries: &[FeedEntry]) -> Vec<usize> {
    entries.iter().map(tag).collect()
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_told_late_and_not_skipped() {
    // On SQLite transactions that write run one after the other.
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    let stage = Stage::new(&server.create_database().unwrap()).await;
    let mut early = stage.store.database().begin().await.unwrap();
    stage
        .store
        .publish(&mut early, &[sync("A", 1)])
        .await
        .unwrap();
    stage.publish(&[sync("A", 2)]).await;
    let all = FeedFilter::default();
    let seen = stage.all(None, &all, 10).await;
    assert_eq!(tags(&seen), [2]);
    early.commit().await.unwrap();
    let then = stage.all(Some(seen[0].cursor), &all, 10).await;
    assert_eq!(tags(&then), [1]);
    assert_eq!(tags(&stage.all(None, &all, 10).await), [2, 1]);
}

#[tokio::test]
async fn readers_that_number_at_the_same_time_give_each_entry_one_number() {
    for stage in stages().await {
        let tell = async |part: usize| {
            for n in 0..10 {
                stage.publish(&[sync("A", part * 10 + n)]).await;
                stage.store.number_feed().await.unwrap();
            }
        };
        tokio::join!(tell(0), tell(1), tell(2));
        let found = stage.all(None, &FeedFilter::default(), 7).await;
        let numbers: Vec<_> = found.iter().map(|entry| entry.cursor.number()).collect();
        assert_eq!(numbers, Vec::from_iter(1..=30));
        let mut tags = tags(&found);
        tags.sort_unstable();
        assert_eq!(tags, Vec::from_iter(0..30));
    }
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told() {
    for stage in stages().await {
        let mut tx = stage.store.database().begin().await.unwrap();
        stage.store.publish(&mut tx, &[sync("A", 1)]).await.unwrap();
        tx.rollback().await.unwrap();
        assert!(stage.all(None, &FeedFilter::default(), 10).await.is_empty());
    }
}

#[tokio::test]
async fn a_cursor_from_before_what_is_kept_asks_to_read_all_again() {
    for stage in stages().await {
        stage.publish(&[sync("A", 1), sync("A", 2)]).await;
        let all = FeedFilter::default();
        let first = stage.all(None, &all, 10).await;
        stage.clock.advance(Duration::from_secs(60 * 60));
        stage.publish(&[sync("A", 3)]).await;
        let half_an_hour = Duration::from_secs(30 * 60);
        assert_eq!(stage.feed.prune(half_an_hour).await.unwrap(), 2);
        assert_eq!(stage.feed.prune(half_an_hour).await.unwrap(), 0);
        assert_eq!(tags(&stage.all(None, &all, 10).await), [3]);
        // The last one that was removed is the place before the first that is kept.
        assert_eq!(tags(&stage.all(Some(first[1].cursor), &all, 10).await), [3]);
        let read = async |after| {
            let query = FeedQuery {
                after: Some(Cursor::new(after)),
                limit: 10,
                ..FeedQuery::default()
            };
            let mut follower = stage.feed.follow(&query).await.unwrap();
            assert!(matches!(follower.next().await, Some(FeedUpdate::Resync)));
            stage.feed.page(&query).await.unwrap()
        };
        assert_eq!(read(1).await, FeedRead::Resync);
        // A database that was restored from a backup is behind its readers.
        assert_eq!(read(4).await, FeedRead::Resync);
    }
}

#[tokio::test]
async fn a_reader_may_begin_at_the_end() {
    for stage in stages().await {
        stage.publish(&[sync("A", 1)]).await;
        let latest = FeedQuery {
            latest: true,
            ..FeedQuery::default()
        };
        let page = page_of(stage.feed.page(&latest).await.unwrap());
        assert!(page.entries.is_empty() && !page.more);
        stage.publish(&[sync("A", 2)]).await;
        let then = stage
            .all(Some(page.cursor), &FeedFilter::default(), 10)
            .await;
        assert_eq!(tags(&then), [2]);
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_an_entry_or_with_the_service() {
    for stage in stages().await {
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (feed, stop) = (stage.feed.clone(), stop.clone());
            async move { feed.run(stop).await }
        });
        let query = FeedQuery {
            filter: FeedFilter {
                schools: Some(vec!["B".to_owned()]),
                ..FeedFilter::default()
            },
            limit: 10,
            ..FeedQuery::default()
        };
        let long = Duration::from_secs(600);
        let (found, ()) = tokio::join!(stage.feed.page_within(&query, long), async {
            stage.publish(&[sync("A", 1)]).await;
            stage.publish(&[sync("B", 2)]).await;
        });
        let found = page_of(found.unwrap());
        assert_eq!(tags(&found.entries), [2]);
        let query = FeedQuery {
            after: Some(found.cursor),
            ..query
        };
        let (found, ()) = tokio::join!(stage.feed.page_within(&query, long), async {
            stop.cancel();
        });
        assert!(page_of(found.unwrap()).entries.is_empty());
        running.await.unwrap();
    }
}

/// Takes entries until so many have come, and returns their tags.
async fn take(follower: &mut Follower, count: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match follower.next().await.unwrap() {
            FeedUpdate::Entries(entries) => taken.extend(entries.iter().map(|entry| tag(entry))),
            FeedUpdate::Resync => panic!("nothing was pruned"),
        }
    }
    taken
}

#[tokio::test]
async fn followers_get_each_entry_once_and_end_with_the_service() {
    for stage in stages().await {
        stage.publish(&[sync("A", 0), sync("B", 1)]).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (feed, stop) = (stage.feed.clone(), stop.clone());
            async move { feed.run(stop).await }
        });
        let mut all = stage.feed.follow(&FeedQuery::default()).await.unwrap();
        assert_eq!(take(&mut all, 2).await, [0, 1]);
        let mut of_b = stage
            .feed
            .follow(&FeedQuery {
                after: Some(Cursor::new(1)),
                filter: FeedFilter {
                    schools: Some(vec!["B".to_owned()]),
                    ..FeedFilter::default()
                },
                ..FeedQuery::default()
            })
            .await
            .unwrap();
        for n in 2..300 {
            stage
                .publish(&[sync(if n % 2 == 0 { "A" } else { "B" }, n)])
                .await;
        }
        assert_eq!(take(&mut all, 298).await, Vec::from_iter(2..300));
        let odd: Vec<_> = (1..300).step_by(2).collect();
        assert_eq!(take(&mut of_b, 150).await, odd);
        stop.cancel();
        assert!(all.next().await.is_none());
        assert!(of_b.next().await.is_none());
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_follower_reads_what_is_not_in_memory_any_more() {
    let stage = Stage::new("sqlite::memory:").await;
    stage.publish(&[sync("A", 0)]).await;
    let mut slow = stage.feed.follow(&FeedQuery::default()).await.unwrap();
    stage.feed.look().await.unwrap();
    assert_eq!(take(&mut slow, 1).await, [0]);
    let many: Vec<_> = (1..=RECENT + 10).map(|n| sync("A", n)).collect();
    stage.publish(&many).await;
    stage.feed.look().await.unwrap();
    assert_eq!(stage.feed.recent(|recent| recent.entries.len()), RECENT);
    let taken = take(&mut slow, many.len()).await;
    assert_eq!(taken, Vec::from_iter(1..=RECENT + 10));
}

#[tokio::test]
async fn streams_are_counted() {
    let stage = Stage::new("sqlite::memory:").await;
    let first = stage.feed.stream_permit();
    let second = stage.feed.stream_permit();
    assert!(first.is_some() && second.is_some());
    assert!(stage.feed.stream_permit().is_none());
    drop(first);
    assert!(stage.feed.stream_permit().is_some());
}

#[tokio::test]
async fn a_pause_is_told_once_and_ends_with_a_notice() {
    for stage in stages().await {
        let pause = async |key: &str| {
            let mut tx = stage.store.database().begin().await.unwrap();
            let minute = Duration::from_secs(60);
            let paused = stage.store.pause(&mut tx, key, minute, "offline", false);
            paused.await.unwrap();
            tx.commit().await.unwrap();
        };
        pause("A").await;
        pause("token:env:HILL").await;
        stage.clock.advance(Duration::from_secs(90));
        stage.store.publish_ended_pauses().await.unwrap();
        pause("A").await;
        stage.clock.advance(Duration::from_secs(100));
        stage.store.publish_ended_pauses().await.unwrap();
        stage.store.end_pauses(&["A".to_owned()]).await.unwrap();
        stage.store.end_pauses(&["A".to_owned()]).await.unwrap();
        let found = stage.all(None, &FeedFilter::default(), 10).await;
        let told: Vec<_> = found
            .iter()
            .map(|entry| (entry.school.as_deref(), entry.notice.as_ref().unwrap().what))
            .collect();
        assert_eq!(
            told,
            [
                (Some("A"), NoticeWhat::Paused),
                (None, NoticeWhat::Paused),
                (None, NoticeWhat::Resumed),
                (Some("A"), NoticeWhat::Resumed),
            ]
        );
    }
}

#[tokio::test]
async fn an_outcome_is_told_whatever_a_comment_holds() {
    for stage in stages().await {
        let event = json!({
            "id": "e1", "person": "P1", "kind": "sign_in", "at": "2026-11-23T08:50:00Z",
        });
        let event = serde_json::from_value(event).unwrap();
        let new = NewEvent {
            school: &"A".into(),
            event: &event,
        };
        let decision = json!({
            "outcome": "write", "mark": { "code": "L", "comment": "zero \0, quoted \\u0000, \\\0 \u{1f600}" }, "steps": [],
        });
        let update = EventUpdate {
            student: Some("S1".to_owned()),
            day: Some("2026-11-23".to_owned()),
            session: Some("AM".to_owned()),
            decision: Some(decision.to_string()),
            ..EventUpdate::of("A", "e1").state(EventState::Confirmed)
        };
        assert!(update.decision.as_ref().unwrap().contains(r"\u0000"));
        let mut tx = stage.store.database().begin().await.unwrap();
        let store = &stage.store;
        store.insert_events(&mut tx, &[new]).await.unwrap();
        store
            .update_events(&mut tx, std::slice::from_ref(&update))
            .await
            .unwrap();
        store.publish_outcomes(&mut tx, &[update]).await.unwrap();
        tx.commit().await.unwrap();
        let found = stage.all(None, &FeedFilter::default(), 10).await;
        assert_eq!(found.len(), 1);
        let told = serde_json::to_value(&found[0].event).unwrap();
        assert_eq!(
            told,
            json!({
                "id": "e1", "person": "P1", "student": "S1", "state": "confirmed", "code": "L", "date": "2026-11-23",
                "session": "AM",
            })
        );
    }
}

/// An entry of a random school and kind.
fn any_entry() -> impl Strategy<Value = (usize, bool)> {
    (0..4_usize, any::<bool>())
}

const SCHOOLS: [&str; 4] = ["A", "B", "C", ""];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_reader_that_resumes_anywhere_gets_all_that_follows(
        entries in proptest::collection::vec(any_entry(), 0..40),
        wanted in proptest::option::of(proptest::collection::vec(0..3_usize, 0..3)),
        kind in proptest::option::of(any::<bool>()),
        limit in 1..6_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new("sqlite::memory:").await;
            for (n, (school, is_sync)) in entries.iter().enumerate() {
                let school = SCHOOLS[*school];
                stage.publish(&[if *is_sync { sync(school, n) } else { notice(school, n) }]).await;
            }
            let kind_of = |is_sync| if is_sync { FeedKind::Sync } else { FeedKind::Notice };
            let filter = FeedFilter {
                schools: wanted.as_ref().map(|wanted| wanted.iter().map(|n| SCHOOLS[*n].to_owned()).collect()),
                kinds: kind.map(kind_of).into_iter().collect(),
            };
            let takes = |(school, is_sync): &(usize, bool)| {
                wanted.as_ref().is_none_or(|wanted| wanted.contains(school))
                    && kind.is_none_or(|kind| kind == *is_sync)
            };
            for from in 0..=entries.len() {
                let expected: Vec<_> = entries
                    .iter()
                    .enumerate()
                    .skip(from)
                    .filter_map(|(n, entry)| takes(entry).then_some(n))
                    .collect();
                let after = Some(Cursor::new(i64::try_from(from).unwrap()));
                stage.feed.page(&FeedQuery::default()).await.unwrap();
                assert_eq!(tags(&stage.all(after, &filter, limit).await), expected);
                let query = FeedQuery { after, filter: filter.clone(), ..FeedQuery::default() };
                let mut follower = stage.feed.follow(&query).await.unwrap();
                stage.feed.look().await.unwrap();
                assert_eq!(take(&mut follower, expected.len()).await, expected);
            }
        });
    }
}

#[tokio::test]
async fn an_entry_of_a_kind_from_a_later_version_is_passed_over() {
    for stage in stages().await {
        let mut tx = stage.store.database().begin().await.unwrap();
        let later =
            "INSERT INTO markback_feed (school, kind, at_ms, body) VALUES ('A', 'later', 0, '{}')";
        on_tx!(tx, conn => sqlx::query(later).execute(conn).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();
        stage.publish(&[sync("A", 1)]).await;
        let found = stage.all(None, &FeedFilter::default(), 1).await;
        assert_eq!(tags(&found), [1]);
    }
}
