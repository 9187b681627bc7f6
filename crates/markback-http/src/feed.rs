//! The feed over HTTP: in pages after a cursor, and as a stream of server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind},
    key::{self, Access},
    openapi::{ProblemBody, ResponseBody},
    query::{self, QueryParams},
    slots::Slot,
};
use markback::{
    audit_log::AuditAction,
    feed::{
        Cursor, Feed, FeedEntry, FeedFilter, FeedKind, FeedPage, FeedQuery, FeedRead, FeedUpdate,
        Follower, PAGE, PAGE_MAX,
    },
    keys::Scope,
    metrics,
    service::Markback,
    settings::nearest,
};

/// The parameters of a page; a stream has no `limit` and no `wait`.
const WORDS: [&str; 5] = ["after", "limit", "school", "kind", "wait"];
/// Instead of a cursor: the present end of the feed.
const LATEST: &str = "latest";
/// The longest wait for an entry in seconds.
const WAIT_MAX: u32 = 20;
/// How much earlier than the limit of any answer a waiting one is given.
const SPARE: Duration = Duration::from_secs(2);
/// How often a stream is sent a comment, so that proxies keep it open and a lost connection is noticed.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How often the key of a stream or of a waiting request is looked at again.
const KEY_EVERY: Duration = Duration::from_secs(2);
/// Seconds after which to retry when all streams are taken.
const STREAM_AGAIN: u32 = 30;
/// What the browser sends when it connects again.
const LAST_EVENT_ID: &str = "last-event-id";

type PageBody = ResponseBody<FeedPage>;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(page))
        .routes(routes!(follow))
}

/// Entries of the feed after a cursor
///
/// The feed has an entry for each event that reaches a state other than `received`, `planned` and `sent`, for each group
/// that a sync changes, for the end of each sync, and for notices. Entries come in order, each once. Keep the answer's
/// cursor with what you did about its entries, and send it with the next request.
#[utoipa::path(get, path = "/v1/feed", operation_id = "list_feed", tag = "feed",
    params(
        ("after" = Option<String>, Query, description = "The cursor of an earlier answer or entry; `latest` for the present end; without it, all entries that are kept.", example = "latest"),
        ("limit" = Option<u32>, Query, description = "The most entries in the answer: 100 unless given, at most 1000."),
        ("school" = Option<String>, Query, description = "Schools, separated by commas; without it, all schools and what concerns no single one."),
        ("kind" = Option<String>, Query, description = "Kinds, separated by commas: `event`, `group`, `sync`, `notice`.", example = "event,group"),
        ("wait" = Option<u32>, Query, description = "How many seconds to wait for an entry if there is none yet: 0 unless given, at most 20. A request that waits counts as a stream of its node."),
    ),
    responses(
        (status = 200, description = "The entries.", body = PageBody),
        (status = 410, description = "Entries after the cursor are no longer kept.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn page(
    State(markback): State<Markback>,
    access: Access,
    Extension(slot): Extension<Slot>,
    asked: QueryParams,
) -> Result<Json<FeedPage>, ApiError> {
    let asked = asked.only(&WORDS)?;
    let mut query = query_of(&access, &asked, asked.text("after"))?;
    query.limit = asked.number("limit")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let wait = asked.number("wait")?.unwrap_or(0).min(WAIT_MAX);
    let answer_within = markback.settings().service.http.answer_within;
    let wait = Duration::from_secs(wait.into()).min(answer_within.saturating_sub(SPARE));
    let _permit = if wait.is_zero() {
        None
    } else {
        // A request that waits takes no place of those that have work to do.
        let permit = permit(markback.feed())?;
        slot.give_back();
        Some(permit)
    };
    let read = tokio::select! {
        read = markback.feed().page_within(&query, wait) => read,
        () = until_invalid(&markback, &access) => return Err(key::invalid()),
    };
    if !wait.is_zero() && !access.is_valid(&markback).await {
        return Err(key::invalid());
    }
    match read.map_err(|error| ApiError::no_database(&error, "try again"))? {
        FeedRead::Page(page) => {
            if !page.entries.is_empty() {
                let look = access.entry(AuditAction::FeedShown);
                key::record(&markback, look.amount(page.entries.len())).await?;
            }
            Ok(Json(page))
        }
        FeedRead::Resync => Err(ApiError::new(
            Kind::CursorGone,
            "entries after this cursor are no longer kept; send `after=latest`, read what you need as a whole, and go on \
             from the cursor of that answer",
        )),
    }
}

/// The feed as server-sent events
///
/// Each entry is an event with its cursor as `id`, its kind as `event` and the entry in JSON as `data`. A client that
/// connects again sends the last id in the header `Last-Event-ID` and misses nothing. A comment is sent every 15 seconds.
/// If entries after the cursor are no longer kept, the only event is `resync`, and its id is the feed's present end: read
/// what you need as a whole, and follow from there. The stream ends when the service stops. Behind HTTP/1.1 a browser has
/// few connections; open one stream for all schools.
#[utoipa::path(get, path = "/v1/feed/stream", operation_id = "follow_feed", tag = "feed",
    params(
        ("after" = Option<String>, Query, description = "The cursor of an earlier answer or entry, unless the header `Last-Event-ID` has one; without both, the feed's present end."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event received."),
        ("school" = Option<String>, Query, description = "Schools, separated by commas; without it, all schools and what concerns no single one."),
        ("kind" = Option<String>, Query, description = "Kinds, separated by commas: `event`, `group`, `sync`, `notice`."),
    ),
    responses((status = 200, description = "The stream: events with `id`, `event` and `data`, which is an entry as JSON.", body = serde_json::Value, content_type = "text/event-stream")))]
async fn follow(
    State(markback): State<Markback>,
    access: Access,
    headers: HeaderMap,
    asked: QueryParams,
) -> Result<Response, ApiError> {
    let asked = asked.only(&["after", "school", "kind"])?;
    let last = headers
        .get(LAST_EVENT_ID)
        .map(|value| value.to_str().unwrap_or_default());
    let from = last.or(asked.text("after")).unwrap_or(LATEST);
    let query = query_of(&access, &asked, Some(from))?;
    let feed = markback.feed().clone();
    let permit = permit(&feed)?;
    let follower = feed
        .follow(&query)
        .await
        .map_err(|error| ApiError::no_database(&error, "try again"))?;
    key::record(&markback, access.entry(AuditAction::FeedFollowed)).await?;
    let events = events(Following {
        markback,
        access,
        feed,
        follower,
        waiting: VecDeque::new(),
        is_over: false,
        _permit: permit,
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY));
    // A proxy that gathers an answer before it passes it on would hold entries back.
    let headers = [(header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, stream).into_response())
}

/// A place among the streams and the requests that wait.
fn permit(feed: &Feed) -> Result<OwnedSemaphorePermit, ApiError> {
    feed.stream_permit().ok_or_else(|| {
        metrics::turned_away("streams");
        ApiError::unavailable(
            "all streams of this node are taken (`feed.streams` in its settings); try again later, or read the feed in pages \
             without `wait`",
            STREAM_AGAIN,
        )
    })
}

/// Ends when the key has expired or was revoked.
async fn until_invalid(markback: &Markback, access: &Access) {
    loop {
        tokio::time::sleep(KEY_EVERY).await;
        if !access.is_valid(markback).await {
            return;
        }
    }
}

/// A stream in progress.
struct Following {
    markback: Markback,
    access: Access,
    feed: Feed,
    follower: Follower,
    waiting: VecDeque<Arc<FeedEntry>>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// Asks the follower only when the client has taken what came before, so nothing piles up for a slow one.
fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, |mut following| async move {
        loop {
            if let Some(entry) = following.waiting.pop_front() {
                return Some((Ok(event(&entry)), following));
            }
            if following.is_over {
                return None;
            }
            let told = tokio::select! {
                told = following.follower.next() => told?,
                () = until_invalid(&following.markback, &following.access) => return None,
            };
            // The key may have been revoked since the stream began.
            if !following.access.is_valid(&following.markback).await {
                return None;
            }
            match told {
                FeedUpdate::Entries(entries) => following.waiting.extend(entries),
                FeedUpdate::Resync => {
                    following.is_over = true;
                    let end = end_of(&following.feed).await?;
                    let resync = Event::default()
                        .event("resync")
                        .id(end.to_string())
                        .data("{}");
                    return Some((Ok(resync), following));
                }
            }
        }
    })
}

fn event(entry: &FeedEntry) -> Event {
    // An entry has been JSON before.
    let data = serde_json::to_string(entry).unwrap_or_default();
    Event::default()
        .event(entry.kind.as_str())
        .id(entry.cursor.to_string())
        .data(data)
}

async fn end_of(feed: &Feed) -> Option<Cursor> {
    let latest = FeedQuery {
        latest: true,
        ..FeedQuery::default()
    };
    match feed.page(&latest).await {
        Ok(FeedRead::Page(page)) => Some(page.cursor),
        _ => None,
    }
}

fn query_of(
    access: &Access,
    asked: &QueryParams,
    after: Option<&str>,
) -> Result<FeedQuery, ApiError> {
    let latest = after == Some(LATEST);
    let after = after
        .filter(|_| !latest)
        .map(|text| cursor_of("after", text))
        .transpose()?;
    let words = |text: &str| -> Vec<String> {
        let words = text.split(',').map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let kinds = words(asked.text("kind").unwrap_or_default());
    Ok(FeedQuery {
        after,
        latest,
        filter: FeedFilter {
            schools: schools_of(access, asked.text("school").map(words)),
            kinds: kinds_of(access, &kinds)?,
        },
        limit: PAGE,
    })
}

/// The wanted schools that exist for the key. One that does not is like an unknown one, of which there is no entry.
fn schools_of(access: &Access, wanted: Option<Vec<String>>) -> Option<Vec<String>> {
    let Some(own) = access.grant.schools() else {
        return wanted;
    };
    let own = own.iter().map(ToString::to_string);
    Some(match wanted {
        None => own.collect(),
        Some(wanted) => own.filter(|school| wanted.contains(school)).collect(),
    })
}

/// The wanted kinds. Those about groups and syncs need the scope for groups.
fn kinds_of(access: &Access, wanted: &[String]) -> Result<Vec<FeedKind>, ApiError> {
    let kinds: Vec<_> = wanted
        .iter()
        .map(|word| kind_of(word))
        .collect::<Result<_, _>>()?;
    if access.grant.allows(Scope::GroupsRead) {
        return Ok(kinds);
    }
    let needs_groups = |kind: &FeedKind| matches!(kind, FeedKind::Group | FeedKind::Sync);
    if kinds.iter().any(needs_groups) {
        return Err(ApiError::new(
            Kind::Forbidden,
            format!(
                "this key lacks the scope {}, which entries about groups and syncs need; use a key that has it, or leave \
                 these kinds out",
                Scope::GroupsRead
            ),
        ));
    }
    if kinds.is_empty() {
        let all = FeedKind::ALL.iter().copied();
        return Ok(all.filter(|kind| !needs_groups(kind)).collect());
    }
    Ok(kinds)
}

pub(super) fn cursor_of(word: &str, text: &str) -> Result<Cursor, ApiError> {
    text.parse().map_err(|_| {
        query::wrong(
            word,
            Some(text),
            "this is no cursor of the feed",
            "send the cursor of an earlier answer or entry, or `latest`, or leave it out",
        )
    })
}

fn kind_of(word: &str) -> Result<FeedKind, ApiError> {
    word.parse().map_err(|_| {
        let words: Vec<_> = FeedKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let help = match nearest(word, words.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are: {}", words.join(", ")),
        };
        query::wrong("kind", Some(word), "there is no such kind of entries", help)
    })
}
