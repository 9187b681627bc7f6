//! Whether an event with a known id is the same event. Other content must not pass as a repetition.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};
use writeback::Event;

use super::{InputProblem, Request};
use crate::store::{EventKey, StoredEvent};

/// The bytes of the hash in a fingerprint.
const FINGERPRINT_BYTES: usize = 6;

/// The first event with an id.
#[derive(Clone, Copy)]
enum First<'a> {
    /// It was stored before.
    Stored(&'a StoredEvent),
    /// It is in this request, or in an earlier one of the same transaction.
    New(&'a Event),
}

/// The requests, by place, that reuse an id for other content, with their problems. Events of a conflicting request do
/// not count as first events, because the request is refused.
pub(super) fn conflicts(
    requests: &[(usize, &Request)],
    stored: &HashMap<EventKey, StoredEvent>,
) -> BTreeMap<usize, Vec<InputProblem>> {
    let mut taken: HashMap<(&str, &str), First<'_>> = stored
        .iter()
        .map(|((school, id), event)| ((school.as_str(), id.as_str()), First::Stored(event)))
        .collect();
    let mut conflicts = BTreeMap::new();
    for (number, request) in requests {
        let mut own = HashMap::with_capacity(request.events.len());
        let mut problems = Vec::new();
        for (place, event) in request.events.iter().enumerate() {
            let key = (request.school.as_str(), event.id.as_str());
            let before = taken.get(&key).map(|first| (*first, "was accepted before"));
            let here = || {
                let first = own.get(&key).copied();
                first.map(|first| (first, "is earlier in the same request"))
            };
            match before.or_else(here) {
                Some((first, when)) => problems.extend(conflict(first, event, place, when)),
                None => {
                    own.insert(key, First::New(event));
                }
            }
        }
        if problems.is_empty() {
            taken.extend(own);
        } else {
            conflicts.insert(*number, problems);
        }
    }
    conflicts
}

/// The problem of an event whose id was accepted before, if that was an event with other content.
pub(crate) fn conflict_with(stored: &StoredEvent, event: &Event) -> Option<InputProblem> {
    conflict(First::Stored(stored), event, 0, "was accepted before")
}

fn conflict(first: First<'_>, event: &Event, place: usize, when: &str) -> Option<InputProblem> {
    let (before, now) = (first.content(), content(event));
    (before != now).then(|| InputProblem {
        key: format!("[{place}].id"),
        value: Some(event.id.clone()),
        message: format!(
            "an event with this id and other content {when}: its fingerprint is {}, that of this one is {}",
            fingerprint(&before),
            fingerprint(&now)
        ),
        help: "give every event a unique id; an id can be repeated only with the same content".to_owned(),
    })
}

impl First<'_> {
    fn content(self) -> String {
        match self {
            Self::New(event) => content(event),
            Self::Stored(event) => serde_json::from_str(&event.body)
                .map_or_else(|_| event.body.clone(), |event| content(&event)),
        }
    }
}

/// The content of an event in its canonical form.
fn content(event: &Event) -> String {
    serde_json::to_string(&event.canonical()).unwrap_or_default()
}

/// Identifies content without showing it.
fn fingerprint(content: &str) -> String {
    let hash = Sha256::digest(content);
    let shown = hash.iter().take(FINGERPRINT_BYTES);
    shown.map(|byte| format!("{byte:02x}")).collect()
}
