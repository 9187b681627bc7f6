//! Reading what Wonde sends, in all the forms it may come in.
//!
//! No message made here repeats a value: they are of pupils. What was expected is said after the word "expected", and
//! only that part reaches an error's text.

pub(crate) mod body;
pub(crate) mod lenient;
pub(crate) mod relation;
pub(crate) mod scalar;
pub(crate) mod time;

pub(crate) use relation::{detail, many};
pub(crate) use scalar::{flag, text, whole};
pub(crate) use time::{clock, day, instant};
