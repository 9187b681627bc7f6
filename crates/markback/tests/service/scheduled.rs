//! Versions of a school's settings that begin to rule on a day.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use markback::{
    configuration::{ChangeError, Configuration},
    feed::{FeedQuery, FeedRead},
    service::{Markback, Options},
    store::SettingsKey,
};
use markback_lab::harness::SettingsFolder;
use outbox::TestClock;

use crate::support::ann;

const FILE: &str = "
[[template]]
name = 'secondary'
timezone = 'Europe/London'
token_env = 'TOKEN'
[[template.group]]
name = 'Students'
kind = 'students'
writeback.am = { opens = '08:00', late = '09:00' }
writeback.pm = { opens = '12:30', late = '13:00' }
writeback.closes = '15:30'
";
const FIRST: &str = "template = 'secondary'\nmis = 'SIMS'\n";
const SECOND: &str = "template = 'secondary'\nmis = 'Arbor'\n";
const HOUR: Duration = Duration::from_secs(3_600);
/// A day in British Summer Time, whose start is at 23:00 UTC of the day before.
const DAY: &str = "2026-06-03";

/// A school with a second version that is to rule from [`DAY`] on, two days before.
struct Waiting {
    world: SettingsFolder,
    clock: Arc<TestClock>,
    node: Markback,
    key: SettingsKey,
}

impl Waiting {
    async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for world in SettingsFolder::each().await {
            world.write(FILE);
            let noon: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().unwrap();
            let clock = Arc::new(TestClock::at(noon));
            let node = node(&world, &clock).await;
            let key = SettingsKey::school("S1");
            let mut settings = node.configuration().await;
            settings.add(&key, FIRST, false, &ann("new")).await.unwrap();
            settings
                .draft(&key, SECOND, None, &ann("moves"))
                .await
                .unwrap();
            let agreed = ann("agreed");
            let done = settings.activate_from(&key, Some(2), day(DAY), &agreed);
            let done = done.await.unwrap();
            assert_eq!(
                (done.number, done.active, done.from),
                (2, false, Some(day(DAY)))
            );
            node.refresh_settings().await.unwrap();
            all.push(Self {
                world,
                clock,
                node,
                key,
            });
        }
        all
    }

    async fn settings(&self) -> Configuration {
        self.node.configuration().await
    }

    /// Moves the clock into the day.
    fn begin_the_day(&self) {
        self.clock.advance(35 * HOUR);
    }
}

async fn node(world: &SettingsFolder, clock: &Arc<TestClock>) -> Markback {
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    Markback::open(world.settings(), options).await.unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The MIS in the school's settings that rule on a node after its next look.
async fn mis(node: &Markback) -> Option<String> {
    node.refresh_settings().await.unwrap();
    let school = node.school(&"S1".into())?;
    school.mis.as_deref().map(str::to_owned)
}

#[tokio::test]
async fn a_version_rules_from_the_start_of_its_day_at_the_school_on_every_node() {
    for waiting in Waiting::each().await {
        let other = node(&waiting.world, &waiting.clock).await;
        let told = waiting
            .settings()
            .await
            .scheduled(&waiting.key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((told.number, told.from), (2, day(DAY)));
        assert_eq!(told.starts_at.to_rfc3339(), "2026-06-02T23:00:00+00:00");
        assert_eq!(
            (told.by.as_deref(), told.note.as_deref()),
            (Some("Ann"), Some("agreed"))
        );
        assert!(told.problems.is_empty());

        waiting.clock.advance(35 * HOUR - Duration::from_secs(1));
        for node in [&waiting.node, &other] {
            assert_eq!(mis(node).await.as_deref(), Some("SIMS"));
        }
        waiting.clock.advance(Duration::from_secs(1));
        // Both see at once that the day has begun.
        let looks = tokio::join!(waiting.node.refresh_settings(), other.refresh_settings());
        looks.0.and(looks.1).unwrap();
        for node in [&waiting.node, &other] {
            assert_eq!(mis(node).await.as_deref(), Some("Arbor"));
        }
        let settings = waiting.settings().await;
        assert_eq!(settings.scheduled(&waiting.key).await.unwrap(), None);
        let history = settings.history(&waiting.key).await.unwrap();
        let ruled = &history[0].ruled[0];
        assert!(history[0].rules && history[0].from.is_none());
        assert_eq!(ruled.by.as_deref(), Some("Ann"));
        assert_eq!(ruled.note.as_deref(), Some("from 2026-06-03: agreed"));
        assert_eq!(ruled.from.unwrap().timestamp(), waiting.clock_s());
        // It began once.
        let begun = waiting
            .node
            .store()
            .settings_activations(&waiting.key)
            .await
            .unwrap();
        assert_eq!(begun.len(), 2);
    }
}

impl Waiting {
    fn clock_s(&self) -> i64 {
        outbox::Clock::now(&*self.clock).timestamp()
    }
}

#[tokio::test]
async fn a_node_that_starts_after_the_day_has_begun_goes_by_the_version_before_it_decides() {
    for waiting in Waiting::each().await {
        drop(waiting.node);
        waiting.clock.advance(72 * HOUR);
        let node = node(&waiting.world, &waiting.clock).await;
        assert_eq!(mis(&node).await.as_deref(), Some("Arbor"));
    }
}

#[tokio::test]
async fn an_undo_brings_back_what_ruled_before_the_day() {
    for waiting in Waiting::each().await {
        waiting.begin_the_day();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Arbor"));
        let mut settings = waiting.settings().await;
        let undone = settings.undo(&waiting.key, None, &ann("")).await.unwrap();
        assert_eq!((undone.number, undone.active), (3, true));
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("SIMS"));
    }
}

#[tokio::test]
async fn a_cancelled_version_stays_a_draft_and_does_not_rule() {
    for waiting in Waiting::each().await {
        let mut settings = waiting.settings().await;
        let other = settings
            .cancel_scheduled(&waiting.key, Some(1), &ann(""))
            .await;
        assert!(
            matches!(other, Err(ChangeError::NotScheduled { .. })),
            "{other:?}"
        );
        let done = settings
            .cancel_scheduled(&waiting.key, Some(2), &ann(""))
            .await;
        assert_eq!(done.unwrap().number, 2);
        waiting.begin_the_day();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("SIMS"));
        let draft = settings.draft_of(&waiting.key).await.unwrap().unwrap();
        assert_eq!((draft.number, &*draft.body), (2, SECOND));
        let again = settings
            .cancel_scheduled(&waiting.key, None, &ann(""))
            .await;
        assert!(
            matches!(again, Err(ChangeError::NotScheduled { .. })),
            "{again:?}"
        );
    }
}

#[tokio::test]
async fn nothing_else_begins_to_rule_while_a_version_waits() {
    for waiting in Waiting::each().await {
        let key = &waiting.key;
        let mut settings = waiting.settings().await;
        let third = "template = 'secondary'\nmis = 'Bromcom'\n";
        settings.draft(key, third, None, &ann("")).await.unwrap();
        let refused = [
            settings.activate(key, None, &ann("")).await,
            settings.undo(key, Some(1), &ann("")).await,
            settings.drop_draft(key, None, &ann("")).await,
            settings.remove(key, None, &ann("")).await,
        ];
        for refused in refused {
            let words = refused.unwrap_err().to_string();
            let told =
                "version 2 of the school S1 is to rule from 2026-06-03 on; cancel that first";
            assert!(words.starts_with(told), "{words}");
        }
        // A newer version, whose author has seen that one, may take its place.
        settings
            .activate_from(key, None, day("2026-06-04"), &ann(""))
            .await
            .unwrap();
        waiting.begin_the_day();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("SIMS"));
        waiting.clock.advance(24 * HOUR);
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Bromcom"));
    }
}

#[tokio::test]
async fn a_version_that_waits_may_rule_at_once_instead() {
    for waiting in Waiting::each().await {
        let mut settings = waiting.settings().await;
        settings
            .activate(&waiting.key, Some(2), &ann(""))
            .await
            .unwrap();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Arbor"));
        assert_eq!(settings.scheduled(&waiting.key).await.unwrap(), None);
        waiting.begin_the_day();
        assert!(waiting.node.refresh_settings().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_newer_draft_stays_a_draft_when_the_day_begins() {
    for waiting in Waiting::each().await {
        let mut settings = waiting.settings().await;
        settings
            .draft(&waiting.key, FIRST, None, &ann(""))
            .await
            .unwrap();
        waiting.begin_the_day();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Arbor"));
        let draft = settings.draft_of(&waiting.key).await.unwrap();
        assert_eq!(draft.unwrap().number, 3);
    }
}

#[tokio::test]
async fn a_version_with_problems_does_not_rule_is_told_and_rules_once_they_are_gone() {
    for waiting in Waiting::each().await {
        let mut settings = waiting.settings().await;
        let group = FILE.split_once("[[template.group]]").unwrap().1;
        let template = format!("timezone = 'Europe/London'\ntoken_env = 'T'\n[[group]]{group}");
        let own = SettingsKey::template("own");
        settings
            .add(&own, &template, false, &ann(""))
            .await
            .unwrap();
        settings
            .cancel_scheduled(&waiting.key, None, &ann(""))
            .await
            .unwrap();
        let text = "template = 'own'\nmis = 'Arbor'\n";
        settings
            .draft(&waiting.key, text, None, &ann(""))
            .await
            .unwrap();
        settings
            .activate_from(&waiting.key, None, day(DAY), &ann(""))
            .await
            .unwrap();
        // No school that rules names the template, so nothing keeps it from being removed.
        settings.remove(&own, None, &ann("")).await.unwrap();
        let told = settings.scheduled(&waiting.key).await.unwrap().unwrap();
        assert!(
            told.problems[0].message.contains("no such template"),
            "{told:?}"
        );
        assert_eq!(told.not_begun, None);

        waiting.begin_the_day();
        for _ in 0..2 {
            assert_eq!(mis(&waiting.node).await.as_deref(), Some("SIMS"));
        }
        let told = settings.scheduled(&waiting.key).await.unwrap().unwrap();
        assert!(told.not_begun.unwrap().contains("no such template"));
        let query = FeedQuery {
            limit: 100,
            ..FeedQuery::default()
        };
        let FeedRead::Page(page) = waiting.node.feed().page(&query).await.unwrap() else {
            panic!("the feed has a beginning");
        };
        let notices = serde_json::to_string(&page).unwrap();
        assert_eq!(
            notices.matches("settings_not_activated").count(),
            1,
            "{notices}"
        );

        settings.undo(&own, None, &ann("")).await.unwrap();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Arbor"));
    }
}

#[tokio::test]
async fn a_version_with_problems_is_tried_again_when_the_settings_file_has_changed() {
    for waiting in Waiting::each().await {
        // The school that rules names no template, so the file may lose it.
        let mut settings = waiting.settings().await;
        let group = FILE.split_once("[[template.group]]").unwrap().1;
        let alone = format!("timezone = 'Europe/London'\ntoken_env = 'T'\n[[group]]{group}");
        settings
            .cancel_scheduled(&waiting.key, None, &ann(""))
            .await
            .unwrap();
        settings
            .draft(&waiting.key, &alone, None, &ann(""))
            .await
            .unwrap();
        settings
            .activate(&waiting.key, None, &ann(""))
            .await
            .unwrap();
        settings
            .draft(&waiting.key, SECOND, None, &ann(""))
            .await
            .unwrap();
        settings
            .activate_from(&waiting.key, None, day(DAY), &ann(""))
            .await
            .unwrap();
        waiting.node.refresh_settings().await.unwrap();
        waiting.world.write("");
        waiting.node.reload(waiting.world.settings()).await.unwrap();
        waiting.begin_the_day();
        assert_eq!(mis(&waiting.node).await, None);
        waiting.world.write(FILE);
        waiting.node.reload(waiting.world.settings()).await.unwrap();
        assert_eq!(mis(&waiting.node).await.as_deref(), Some("Arbor"));
    }
}

#[tokio::test]
async fn a_version_is_scheduled_for_a_later_day_and_only_without_problems() {
    for waiting in Waiting::each().await {
        let mut settings = waiting.settings().await;
        let key = &waiting.key;
        // It is 0:30 on the next day at the school.
        waiting
            .clock
            .advance(Duration::from_secs(11 * 3_600 + 1_800));
        for past in ["2026-06-01", "2026-06-02"] {
            let refused = settings.activate_from(key, None, day(past), &ann("")).await;
            let words = refused.unwrap_err().to_string();
            assert!(words.contains("because it is 2026-06-02 there"), "{words}");
        }
        settings
            .draft(key, "mis = 'SIMS'\n", None, &ann(""))
            .await
            .unwrap();
        let refused = settings.activate_from(key, None, day(DAY), &ann("")).await;
        assert!(
            matches!(refused, Err(ChangeError::Problems { .. })),
            "{refused:?}"
        );
        let stale = settings
            .activate_from(key, Some(2), day(DAY), &ann(""))
            .await;
        assert!(matches!(stale, Err(ChangeError::Conflict(_))), "{stale:?}");
        let template = SettingsKey::template("secondary");
        let refused = settings
            .activate_from(&template, None, day(DAY), &ann(""))
            .await;
        assert!(
            matches!(refused, Err(ChangeError::OfFile { .. })),
            "{refused:?}"
        );
        // The version that waited still does.
        let told = settings.scheduled(key).await.unwrap().unwrap();
        assert_eq!((told.number, told.from), (2, day(DAY)));
    }
}
