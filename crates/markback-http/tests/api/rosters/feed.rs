//! The feed: lists and changes, across restarts and after changes were deleted.

use std::collections::BTreeMap;

use markback::{
    service::Markback,
    store::{Horizon, MemberJson},
};
use mis_core::SchoolId;
use rstest::rstest;
use serde_json::{Value, json};
use wonde_sandbox::Change;

use super::stage::{DAY, On, Stage, ids, synced};

/// A client that follows a group only by its changes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Host {
    cursor: u64,
    people: BTreeMap<String, Value>,
}

impl Host {
    async fn listen(&mut self, markback: &Markback, school: &SchoolId, group: &str) {
        loop {
            let found = markback
                .store()
                .group_changes(school, group, self.cursor)
                .await
                .unwrap();
            let Some(Horizon::Within(found)) = found else {
                panic!("{found:?}")
            };
            for change in found.changes {
                match (change.what["change"].as_str().unwrap(), &change.member) {
                    ("left", _) => drop(self.people.remove(&change.person)),
                    // Joined or changed, with the current member. Later departures are reported later.
                    (_, Some(member)) => {
                        drop(self.people.insert(change.person, json!(MemberJson(member))))
                    }
                    (_, None) => drop(self.people.insert(change.person, Value::Null)),
                }
            }
            self.cursor = found.cursor;
            if !found.more {
                return;
            }
        }
    }

    async fn of_list(markback: &Markback, school: &SchoolId, group: &str) -> Self {
        let page = markback
            .store()
            .group_people(school, group)
            .await
            .unwrap()
            .unwrap();
        let people = page
            .people
            .iter()
            .map(|member| (member.key.to_string(), json!(MemberJson(member))));
        Self {
            cursor: page.cursor,
            people: people.collect(),
        }
    }
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn changes_from_any_cursor_lead_to_the_current_list(#[case] on: On) {
    let Some(stage) = Stage::on(on, 150).await else {
        return;
    };
    let school = stage.school(0);
    let mut hosts = vec![Host::default()];
    for day in 0..4 {
        // Each day has a new service, so nothing is kept in memory.
        let markback = stage.service().await;
        synced(&markback, &school).await;
        hosts.push(Host::of_list(&markback, &school, "Parents").await);
        stage
            .sandbox
            .a_day_of_changes(school.as_str(), day)
            .unwrap();
        stage.pass(DAY);
    }
    let markback = stage.service().await;
    synced(&markback, &school).await;
    let list = Host::of_list(&markback, &school, "Parents").await;
    assert!(list.people.len() > 100);
    for mut host in hosts {
        host.listen(&markback, &school, "Parents").await;
        assert_eq!(host, list);
    }
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cursor_is_reported(#[case] on: On) {
    let Some(stage) = Stage::on(on, 40).await else {
        return;
    };
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let first = Host::of_list(&markback, &school, "Pupils").await;
    stage.pass(60 * DAY);
    let student = ids(&markback, &school, "Pupils").await[0].clone();
    let rename = Change::Rename {
        student,
        forename: Some("Zoë".into()),
        surname: None,
    };
    stage.sandbox.change(school.as_str(), &rename).unwrap();
    synced(&markback, &school).await;
    let second = Host::of_list(&markback, &school, "Pupils").await;
    // The retention is 90 days: the first sync's changes are deleted, the second's stay.
    stage.pass(50 * DAY);
    markback.prune().await.unwrap();
    let changes = |cursor| {
        let (markback, school) = (markback.clone(), school.clone());
        async move {
            markback
                .store()
                .group_changes(&school, "Pupils", cursor)
                .await
                .unwrap()
                .unwrap()
        }
    };
    assert!(matches!(changes(0).await, Horizon::Beyond));
    assert!(matches!(changes(first.cursor - 1).await, Horizon::Beyond));
    let mut late = first.clone();
    late.listen(&markback, &school, "Pupils").await;
    assert_eq!(late, second);
    // A cursor that was never issued is from another database, or made up.
    assert!(matches!(changes(second.cursor + 1).await, Horizon::Beyond));
    // Old syncs are deleted as well.
    assert_eq!(markback.store().syncs(&school, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leavers_data_is_not_in_the_changes_and_is_deleted_later() {
    let stage = Stage::sqlite(40).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let student = ids(&markback, &school, "Pupils").await[0].clone();
    let renamed = Change::Rename {
        student: student.clone(),
        forename: Some("Forget-Me".into()),
        surname: None,
    };
    stage.sandbox.change(school.as_str(), &renamed).unwrap();
    stage.pass(DAY);
    synced(&markback, &school).await;
    assert!(stage.holds("Forget-Me").await);
    stage
        .sandbox
        .change(school.as_str(), &Change::Leave { student, on: None })
        .unwrap();
    stage.pass(DAY);
    synced(&markback, &school).await;
    let Some(Horizon::Within(changes)) = markback
        .store()
        .group_changes(&school, "Pupils", 0)
        .await
        .unwrap()
    else {
        panic!("the changes are kept")
    };
    let told: Vec<_> = changes
        .changes
        .iter()
        .filter_map(|change| change.member.as_ref())
        .collect();
    assert!(
        told.iter()
            .all(|member| member.person.forename.as_deref() != Some("Forget-Me"))
    );
    stage.pass(31 * DAY);
    synced(&markback, &school).await;
    assert!(!stage.holds("Forget-Me").await);
}
