//! The words of attendance, and what an adapter for a school MIS must do.
//!
//! A host asks a [`Registry`] for an adapter by what the MIS can keep ([`Capabilities`]), opens a [`Connection`] to a
//! school, and gets a [`Mis`]: the adapter behind a guard that refuses what the MIS cannot keep before any request is
//! sent. An adapter crate implements [`MisAdapter`], describes itself in a const [`Descriptor`], and registers with
//! [`register_adapter!`]; what adapters have in common are the functions of [`shapes`].

mod adapter;
mod capabilities;
mod code;
mod connection;
mod descriptor;
mod error;
mod generic;
mod mark;
mod person;
mod registry;
pub mod shapes;

pub use adapter::{Mis, MisAdapter};
pub use capabilities::{Ability, Capabilities, Requirements, SessionWriteback, UnknownAbility};
pub use code::{AttendanceCode, Code, CodeBook};
pub use connection::{ConnectOptions, Connection, Grants, Now};
pub use descriptor::{Descriptor, Source};
pub use error::{Error, ErrorKind, Result};
pub use mark::{
    Accepted, EventKind, HeldCode, HeldMark, Lesson, Mark, MarkResult, RefusedMark, Register,
    WritebackOutcome,
};
pub use person::{Deletion, Group, Issues, PeopleQuery, Person, PersonKind, Property, Relation};
pub use registry::{Registration, Registry, Selection};
pub use wonde::{self, Recovery, Session};

/// What [`register_adapter!`] expands to; nothing to use by hand.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
