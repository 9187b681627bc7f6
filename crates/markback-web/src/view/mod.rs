//! Words and shapes that pages share.

pub(crate) mod names;
pub(crate) mod said;
pub mod state;
