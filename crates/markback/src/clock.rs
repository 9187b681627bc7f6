//! Where the service's time comes from.

use std::sync::Arc;

use outbox::Clock;

/// The clock that a service and its store go by: the machine's, or one that a test or a demonstration moves.
pub type SharedClock = Arc<dyn Clock>;
