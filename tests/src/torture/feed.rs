//! What the feed says in the end, against what the events are: nothing is lost and nothing is told twice, over kills and
//! from whichever node it came.

use std::{collections::HashMap, time::Duration};

use markback::{
    feed::{Feed, FeedQuery, FeedRead, PAGE_MAX},
    service::EventState,
    store::{EventFilter, Store},
};

/// The states that the feed told of each event, by school and id.
type ToldStates = HashMap<(String, String), Vec<EventState>>;

/// How the feed and the events differ.
pub(crate) async fn differences(store: &Store) -> Vec<String> {
    let mut differing = Vec::new();
    let mut told = read(store, &mut differing).await;
    let all = EventFilter {
        limit: u32::MAX,
        ..EventFilter::default()
    };
    for event in store.search(&all).await.unwrap() {
        let states = told
            .remove(&(event.school.clone(), event.id.clone()))
            .unwrap_or_default();
        let id = &event.id;
        if event.state.is_final() && states.last() != Some(&event.state) {
            let state = event.state.as_str();
            differing.push(format!("{id} is {state}, and the feed told {states:?}"));
        }
        // A mark that is sent again is accepted again, but nothing ends twice in the same way without a retry in between.
        if event.round == 0
            && states
                .windows(2)
                .any(|two| two[0] == two[1] && two[0].is_final())
        {
            differing.push(format!("{id}: the feed told {states:?}"));
        }
    }
    differing.extend(
        told.keys()
            .map(|(_, id)| format!("the feed told of {id}, which is no event")),
    );
    differing
}

async fn read(store: &Store, differing: &mut Vec<String>) -> ToldStates {
    let feed = Feed::new(store.clone(), Duration::from_secs(1), 1);
    let mut query = FeedQuery {
        limit: PAGE_MAX,
        ..FeedQuery::default()
    };
    let mut told = ToldStates::new();
    let mut last = None;
    loop {
        let FeedRead::Page(page) = feed.page(&query).await.unwrap() else {
            differing.push("the feed has lost its beginning".to_owned());
            return told;
        };
        for entry in page.entries {
            if last.is_some_and(|last| entry.cursor <= last) {
                differing.push(format!("{} is out of order", entry.cursor));
            }
            last = Some(entry.cursor);
            if let (Some(school), Some(event)) = (entry.school, entry.event) {
                told.entry((school, event.id))
                    .or_default()
                    .push(event.state);
            }
        }
        if !page.more {
            return told;
        }
        query.after = Some(page.cursor);
    }
}
