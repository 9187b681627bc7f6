//! Every MIS adapter, registered: link this crate and [`Registry::discover`](mis_core::Registry::discover) finds them.
//!
//! Each adapter is a cargo feature; all are enabled by default. The compiler does not link a crate that is not used, so this
//! crate uses them all.
//!
//! Made by `cargo xtask codegen` from the folders below `adapters/`; not to be edited by hand.

#[cfg(feature = "arbor")]
use mis_arbor as _;
#[cfg(feature = "bromcom")]
use mis_bromcom as _;
#[cfg(feature = "cloudschool")]
use mis_cloudschool as _;
#[cfg(feature = "engage")]
use mis_engage as _;
#[cfg(feature = "facility")]
use mis_facility as _;
#[cfg(feature = "integris")]
use mis_integris as _;
#[cfg(feature = "isams")]
use mis_isams as _;
#[cfg(feature = "powerschool")]
use mis_powerschool as _;
#[cfg(feature = "pupilasset")]
use mis_pupilasset as _;
#[cfg(feature = "scholarpack")]
use mis_scholarpack as _;
#[cfg(feature = "schoolbase")]
use mis_schoolbase as _;
#[cfg(feature = "sentral")]
use mis_sentral as _;
#[cfg(feature = "sims")]
use mis_sims as _;
#[cfg(feature = "synergetic")]
use mis_synergetic as _;
#[cfg(feature = "tass")]
use mis_tass as _;
#[cfg(feature = "wcbs")]
use mis_wcbs as _;

pub use mis_core;
