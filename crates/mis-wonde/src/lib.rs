//! Adapters for the school MISs that are reached through the Wonde API.
//!
//! MISs differ in where they keep the mark of a session. The [`strategies`] cover all known ways, so most adapters are
//! a descriptor that names one:
//!
//! ```
//! use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};
//!
//! pub static DESCRIPTOR: Descriptor = Descriptor::new("slate", "Slate", |context| session_marks(&DESCRIPTOR, context))
//!     .with_capabilities(Capabilities::SESSION_MARKS.with(Ability::Comment))
//!     .with_source("Slate's manual", "2026-11-23");
//!
//! register_adapter!(DESCRIPTOR);
//! ```
//!
//! An MIS with ways of its own implements [`MisAdapter`] over a [`Connection`] and calls the functions of
//! [`strategies`] for the rest. Adapters depend on this crate alone: it re-exports `mis-core` and the client.
//!
//! A host opens a [`Connection`] with a client and connects the adapter for the school's MIS:
//!
//! ```no_run
//! use mis_wonde::{ConnectContext, Connection, Registry, wonde::Client};
//!
//! # async fn example(token: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(token).build()?;
//! let connection = Connection::open(&client, ConnectContext::new("A1930499544")).await?;
//! let mis = connection.connect(&Registry::discover()?).await?;
//! println!("{} can {:?}", mis.descriptor().name, mis.capabilities());
//! # Ok(())
//! # }
//! ```

mod connection;
mod convert;
mod generic;
pub mod strategies;

pub use connection::{Connection, Grants};
pub use convert::{error, gate, observer};
pub use generic::{GENERIC, for_mis};
#[doc(no_inline)]
pub use mis_core::*;
pub use strategies::{first_lesson_marks, read_only, session_marks};
pub use wonde;
