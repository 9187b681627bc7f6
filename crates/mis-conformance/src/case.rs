//! The definition of a case.

use futures::future::BoxFuture;
use mis_wonde::{Ability, Capabilities};

use crate::{bench::Bench, report::Kind};

/// One rule that an adapter must follow.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) ability: Option<Ability>,
    /// Whether the case applies to an adapter with these capabilities.
    pub(crate) is_for: fn(&Capabilities) -> bool,
    pub(crate) run: for<'a> fn(&'a Bench) -> BoxFuture<'a, anyhow::Result<()>>,
}
