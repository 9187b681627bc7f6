//! Parses Wonde's values in all formats that they may have.
//!
//! No message repeats a value, because values are pupils' data. Only the text after the word "expected" reaches an
//! error.

pub(crate) mod body;
pub(crate) mod lenient;
pub(crate) mod relation;
pub(crate) mod scalar;
pub(crate) mod time;

pub(crate) use relation::{detail, many};
pub(crate) use scalar::{flag, text, whole};
pub(crate) use time::{clock, day, instant};
