//! What an open event waits for: a pause, an earlier event of the same person, or what its last worker reported.

use std::collections::HashMap;

use outbox::Pause;

use crate::{
    pipeline::jobs::{decide_key, event_of_key, send_key},
    queues,
    schools::token_key,
    settings::Settings,
    store::{EventRecord, EventState, Store},
};

/// The prefix of a token's key.
pub const TOKEN: &str = "token:";

/// What a withdrawn event waits for while its mark is on its way.
const WITHDRAWN: &str =
    "it was withdrawn; its mark is repaired when it is known whether the MIS has it";

/// Fills in what the open events wait for.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn tell(
    store: &Store,
    settings: &Settings,
    events: &mut [EventRecord],
) -> outbox::Result<()> {
    let mut open: Vec<_> = events
        .iter_mut()
        // A pause does not hinder a release.
        .filter(|event| !event.state.is_final() && event.state != EventState::Held)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let pauses = store.outbox().pauses().await?;
    for event in &mut open {
        let school = settings.school(&event.school.as_str().into());
        let token = school.map(token_key);
        let holds =
            |pause: &&Pause| pause.key == event.school || Some(&pause.key) == token.as_ref();
        if let Some(pause) = pauses.iter().filter(holds).max_by_key(|pause| pause.until) {
            let said = event.waiting.take();
            // The worker that made the pause has reported the same for its own events.
            let said = said.filter(|said| !said.contains(&pause.reason));
            let said = said.map_or_else(String::new, |said| format!("; {said}"));
            event.waiting = Some(format!("{}{said}", line_of(pause)));
        }
    }
    tell_of_lines(store, open).await?;
    for event in events {
        if event.correction.is_some() && !event.is_repaired && !event.state.is_final() {
            let said = event.waiting.take();
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            event.waiting = Some(format!("{WITHDRAWN}{said}"));
        }
    }
    Ok(())
}

/// Names the event ahead in order, for events of which nothing else is known.
async fn tell_of_lines(store: &Store, mut open: Vec<&mut EventRecord>) -> outbox::Result<()> {
    open.retain(|event| event.waiting.is_none());
    let jobs: Vec<_> = open.iter().filter_map(|event| job_of(event)).collect();
    let ahead = store.outbox().blocked(&jobs).await?;
    let ahead: HashMap<_, _> = ahead
        .into_iter()
        .map(|one| ((one.queue, one.key), one.ahead))
        .collect();
    for event in open {
        let Some(first) = job_of(event).and_then(|job| ahead.get(&job)) else {
            continue;
        };
        let id = event_of_key(first).map_or("", |(_, event)| event);
        event.waiting = Some(match event.state {
            EventState::Received => {
                format!("an earlier event of the same person is decided first: {id}")
            }
            _ => format!("an earlier mark of the same pupil is sent first, that of the event {id}"),
        });
    }
    Ok(())
}

/// The queue and key of the event's job.
fn job_of(event: &EventRecord) -> Option<(String, String)> {
    let (school, id, round) = (&event.school, &event.id, event.round);
    match event.state {
        EventState::Received => Some((queues::DECIDE.to_owned(), decide_key(school, id, round))),
        EventState::Planned => Some((queues::SEND.to_owned(), send_key(school, id, round, 0))),
        _ => None,
    }
}

/// Describes a pause: who is paused, until when, and why.
pub fn line_of(pause: &Pause) -> String {
    let until = pause.until.format("%Y-%m-%d %H:%M:%S UTC");
    let (key, why) = (&pause.key, &pause.reason);
    match key.strip_prefix(TOKEN) {
        Some(token) => format!("all schools of the token {token} are paused until {until}: {why}"),
        None => format!("school {key} is paused until {until}: {why}"),
    }
}
