//! The words of attendance, and what an adapter for a school MIS must do.
//!
//! A host asks a [`Registry`] for an adapter by what the MIS can keep ([`Capabilities`]), opens a [`Connection`] to a
//! school, and gets a [`Mis`]: the adapter behind a guard that refuses what the MIS cannot keep before any request is
//! sent. An adapter crate implements [`MisAdapter`], describes itself in a const [`Descriptor`], and registers with
//! [`register_adapter!`]; what adapters have in common are the functions of [`shapes`].

mod adapter;
mod blame;
mod capabilities;
mod code;
mod connection;
mod descriptor;
mod error;
mod generic;
mod mark;
mod person;
mod quirks;
mod registry;
mod row;
pub mod shapes;
mod text;

pub use adapter::{Mis, MisAdapter};
pub use blame::Blame;
pub use capabilities::{Ability, Capabilities, Requirements, SessionWriteback, UnknownAbility};
pub use code::{AttendanceCode, ChosenFor, Code, CodeBook, NoCode, RepeatedCode};
pub use connection::{ConnectOptions, Connection, Grants, Now};
pub use descriptor::{Descriptor, Source};
pub use error::{Error, ErrorKind, Result};
pub use mark::{
    Accepted, EventKind, HeldCode, HeldMark, Lesson, Mark, MarkResult, RefusedMark, Register,
    WritebackOutcome,
};
pub use person::{Deletion, Group, Issues, PeopleQuery, Person, PersonKind, Property, Relation};
pub use quirks::{Quirks, cut_comment};
pub use registry::{Registration, Registry, Selection};
pub use row::{NotASlot, RegisterQuery, RegisterRow, Slot};
pub use text::{nfc, same_text};
pub use wonde::{self, Recovery, SchoolId, Session, StudentId};

/// What the signatures of [`MisAdapter`] need, so that an adapter depends on this crate alone.
pub use async_trait::async_trait;
pub use chrono;
pub use futures;

/// What [`register_adapter!`] expands to; nothing to use by hand.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
