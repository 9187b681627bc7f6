//! Every MIS adapter, registered: link this crate and [`Registry::discover`](mis_core::Registry::discover) finds them.

#[cfg(feature = "arbor")]
use mis_arbor as _;
#[cfg(feature = "scholarpack")]
use mis_scholarpack as _;
#[cfg(feature = "sims")]
use mis_sims as _;

pub use mis_core;
