//! The service's clock.

use std::sync::Arc;

use outbox::Clock;

/// The clock of a service and its database: the system's, or one that a test or demonstration moves.
pub type SharedClock = Arc<dyn Clock>;
