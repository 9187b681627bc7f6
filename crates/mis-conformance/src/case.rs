//! What a case is.

use futures::future::BoxFuture;
use mis_wonde::{Ability, Capabilities};

use crate::{bench::Bench, report::Kind};

/// One thing that an adapter must hold to.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) ability: Option<Ability>,
    /// Whether it is for an adapter that declares this.
    pub(crate) is_for: fn(&Capabilities) -> bool,
    pub(crate) run: for<'a> fn(&'a Bench) -> BoxFuture<'a, anyhow::Result<()>>,
}
