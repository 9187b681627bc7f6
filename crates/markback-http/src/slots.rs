//! Places for requests that are handled at once.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use markback::metrics;

/// The place of a request. It is given back with the response, or earlier by [`Slot::give_back`].
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Slot {
    /// Gives the place back before the response, for one that waits long and does nothing meanwhile.
    pub(super) fn give_back(&self) {
        let mut permit = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(permit.take());
    }
}

/// Answers a request that is one too many at once with 503. A response that goes on for long, such as a stream, counts
/// only until it begins.
pub(super) async fn bounded(
    State(slots): State<Arc<Semaphore>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = slots.try_acquire_owned() else {
        metrics::turned_away("requests");
        return ApiError::unavailable(
            "the service handles as many requests at once as `http.requests` in its settings allows; send this one again",
            1,
        )
        .into_response();
    };
    let slot = Slot(Arc::new(Mutex::new(Some(permit))));
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    slot.give_back();
    response
}
