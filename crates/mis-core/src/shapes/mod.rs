//! What adapters share: functions for the ways in which MISs keep marks, and whole adapters made of them.
//!
//! An MIS that behaves like others names one of [`session_marks`], [`first_lesson_marks`] and [`read_only`] in its
//! descriptor and is done. One with ways of its own implements [`MisAdapter`](crate::MisAdapter) and calls the
//! functions of [`people`], [`read`], [`session`] and [`first_lesson`] for what is not its own.

pub mod first_lesson;
pub mod people;
pub mod read;
mod send;
pub mod session;
mod timetable;
mod whole;

pub use send::REGISTER_MAX;
pub use whole::{first_lesson_marks, read_only, session_marks};
