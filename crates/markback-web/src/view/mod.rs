//! Words and shapes that pages share.

pub mod state;
