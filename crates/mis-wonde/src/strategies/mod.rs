//! The ways in which MISs keep marks: functions, and standard adapters made of them.
//!
//! The descriptor of an MIS that behaves like others names one of [`session_marks`], [`first_lesson_marks`] and
//! [`read_only`]. An MIS with ways of its own implements [`MisAdapter`](mis_core::MisAdapter) and calls the functions
//! of [`people`], [`read`], [`calendar`], [`session`] and [`first_lesson`] for the rest.

pub mod calendar;
pub mod first_lesson;
pub mod outcomes;
pub mod people;
pub mod read;
mod send;
pub mod session;
mod standard;
mod timetable;

pub use send::REGISTER_MAX;
pub use standard::{connection, first_lesson_marks, read_only, session_marks};
