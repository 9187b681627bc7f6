//! A stream that tells pages that something has changed at a school, so that they freshen themselves.
//!
//! It follows the feed, but has nothing of a person in it: a page asks for itself again, and so shows what its visitor may
//! see at that time. A stream ends after a few minutes, and the browser opens it again: so a visitor who is signed out, or
//! sees other schools, does not follow for long.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, StreamExt as _, stream};
use markback::{
    feed::{Cursor, FeedEntry, FeedFilter, FeedQuery, FeedUpdate, Follower},
    service::Markback,
};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    error::{ErrorKind, PageError},
    visitor::{SchoolsSeen, Visitor},
};

/// How often a comment is sent, so that proxies keep the stream open and a lost connection is noticed.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long a stream may be.
const LASTS: Duration = Duration::from_secs(5 * 60);
/// What the browser sends when it connects again.
const LAST_EVENT_ID: &str = "last-event-id";

pub(crate) fn routes() -> Router<Markback> {
    Router::new().route("/live", get(follow))
}

/// A stream under way.
struct Following {
    follower: Follower,
    _permit: OwnedSemaphorePermit,
}

async fn follow(
    State(markback): State<Markback>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let last = headers.get(LAST_EVENT_ID);
    let after: Option<Cursor> = last.and_then(|id| id.to_str().ok()?.parse().ok());
    let schools = match &visitor.schools {
        SchoolsSeen::All => None,
        SchoolsSeen::Some(schools) => Some(schools.iter().map(ToString::to_string).collect()),
    };
    let query = FeedQuery {
        after,
        latest: after.is_none(),
        filter: FeedFilter {
            schools,
            ..FeedFilter::default()
        },
        ..FeedQuery::default()
    };
    let feed = markback.feed();
    let permit = feed
        .stream_permit()
        .ok_or_else(|| PageError::new(ErrorKind::Unavailable))?;
    let following = Following {
        follower: feed.follow(&query).await?,
        _permit: permit,
    };
    // Some proxies hold back an answer until its body begins.
    let begin = stream::iter([Ok(Event::default().comment("following"))]);
    let events = begin.chain(news(following).take_until(tokio::time::sleep(LASTS)));
    let keep_alive = KeepAlive::new().interval(COMMENT_EVERY);
    Ok(Sse::new(Box::pin(events))
        .keep_alive(keep_alive)
        .into_response())
}

/// The news, until the service stops.
fn news(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    let told = stream::unfold(following, |mut following| async move {
        let events = match following.follower.next().await? {
            FeedUpdate::Entries(entries) => by_school(&entries),
            // Everything may have changed. The browser goes on from the present end.
            FeedUpdate::Resync => {
                vec![Event::default().event("news").id("").data("{}")]
            }
        };
        Some((events, following))
    });
    told.flat_map(|events| stream::iter(events.into_iter().map(Ok)))
}

/// One event for each school that something has changed at.
fn by_school(entries: &[std::sync::Arc<FeedEntry>]) -> Vec<Event> {
    let mut latest: BTreeMap<Option<&str>, Cursor> = BTreeMap::new();
    for entry in entries {
        latest.insert(entry.school.as_deref(), entry.cursor);
    }
    let mut latest: Vec<_> = latest.into_iter().collect();
    // The browser resumes after the last id that it has got.
    latest.sort_by_key(|(_, cursor)| *cursor);
    latest
        .into_iter()
        .map(|(school, cursor)| {
            Event::default()
                .event("news")
                .id(cursor.to_string())
                .data(json!({ "school": school }).to_string())
        })
        .collect()
}
