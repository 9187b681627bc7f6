//! Responds to requests, or causes the planned fault.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::sync::watch;
use wiremock::{Match, Request, Respond, ResponseTemplate};

use super::{Seen, Trouble, World, lock, not_found, trouble};
use crate::answer::Answer;
use crate::standard;

/// The responder that both mocks share.
#[derive(Clone)]
pub(super) struct Responder {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) arrived: watch::Sender<usize>,
}

impl Responder {
    pub(super) fn cut(&self, request: &Request) -> std::io::Error {
        let seen = Seen::of(request);
        let mut world = lock(&self.world);
        self.arrived.send_replace(world.note(&seen));
        if let Some(Trouble::Cut { applied: true }) = world.next_trouble(&seen) {
            world.serve(&seen, request);
        }
        std::io::Error::other("the connection was cut on purpose")
    }
}

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let seen = Seen::of(request);
        let mut world = lock(&self.world);
        self.arrived.send_replace(world.note(&seen));
        match world.next_trouble(&seen) {
            Some(Trouble::Answer { answer, applied }) => {
                if applied {
                    world.serve(&seen, request);
                }
                answer.template()
            }
            Some(Trouble::Stall { applied }) => {
                if applied {
                    world.serve(&seen, request);
                }
                trouble::never()
            }
            Some(Trouble::Slow(delay)) => world.serve(&seen, request).template().set_delay(delay),
            // The other mock handles these.
            Some(Trouble::Cut { .. }) | None => world.serve(&seen, request).template(),
        }
    }
}

/// Whether the connection is cut for a request.
pub(super) struct Cuts(pub(super) Responder);

impl Match for Cuts {
    fn matches(&self, request: &Request) -> bool {
        lock(&self.0.world).cuts(&Seen::of(request))
    }
}

impl World {
    /// Responds as Wonde would.
    fn serve(&mut self, seen: &Seen, request: &Request) -> Answer {
        if let Some(rejection) = self.reject(seen) {
            return rejection;
        }
        let query: HashMap<String, String> = request
            .url
            .query_pairs()
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        let parts: Vec<&str> = seen
            .below_base()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let school = seen.school().unwrap_or_default();
        match (seen.method.as_str(), parts.as_slice()) {
            ("POST", ["schools", _, "attendance", sort @ ("session" | "lesson")]) => {
                self.write(school, sort, seen)
            }
            ("GET", ["writebacks", id]) => self.writeback(id),
            ("GET", ["schools", _]) => self.record(school, request),
            ("GET", ["meta", "schools", _]) => self.meta(school),
            ("GET", ["meta", "schools", _, "permissions"]) => self.permissions(school),
            ("GET", ["schools", _, rest @ ..]) => {
                self.list(school, &rest.join("/"), &query, request)
            }
            _ => not_found(),
        }
    }

    /// Rejects a request whose token does not give access to its path.
    fn reject(&self, seen: &Seen) -> Option<Answer> {
        let owner =
            (1..=9).find(|number| seen.token.as_deref() == Some(standard::token(*number).as_str()));
        match (owner, seen.school()) {
            (None, _) => Some(Answer::json(
                401,
                json!({"error": "unauthorized", "error_description": "Who are you?"}),
            )),
            (Some(owner), Some(school)) if owner != school => Some(Answer::json(
                403,
                json!({"error": "invalid_permissions", "error_description": "Not your school."}),
            )),
            _ => None,
        }
    }
}
