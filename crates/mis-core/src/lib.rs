//! Attendance marks, people and groups of schools, and the trait that an adapter for a school MIS implements.
//!
//! A host asks a [`Registry`] for an adapter by [`Capabilities`] or by the name of the MIS, and connects to a school
//! with [`Descriptor::connect`]. The answer is a [`Mis`]: the adapter behind a guard that rejects what the MIS cannot
//! keep before any request is sent. An adapter crate implements [`MisAdapter`], describes its MIS in a static
//! [`Descriptor`], and registers that with [`register_adapter!`].
//!
//! This crate has no network and knows no MIS. Adapters for MISs that are reached through Wonde use `mis-wonde`, which
//! re-exports this crate.
//!
//! # An adapter
//!
//! ```
//! use std::sync::Arc;
//!
//! use mis_core::{
//!     Capabilities, CodeBook, ConnectContext, Descriptor, MisAdapter, Register, RegisterQuery, RegisterRow, Result,
//!     async_trait, chrono::NaiveDate, futures::stream::{self, BoxStream, StreamExt as _}, register_adapter,
//! };
//!
//! static DESCRIPTOR: Descriptor = Descriptor::new("empty", "Empty", |context| {
//!     Box::pin(async move {
//!         let adapter: Arc<dyn MisAdapter> = Arc::new(Empty { context });
//!         Ok(adapter)
//!     })
//! });
//! register_adapter!(DESCRIPTOR);
//!
//! #[derive(Debug)]
//! struct Empty {
//!     context: ConnectContext,
//! }
//!
//! #[async_trait]
//! impl MisAdapter for Empty {
//!     fn descriptor(&self) -> &'static Descriptor {
//!         &DESCRIPTOR
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         self.context.effective(&DESCRIPTOR)
//!     }
//!
//!     async fn code_book(&self) -> Result<Arc<CodeBook>> {
//!         Ok(Arc::new(CodeBook::england()))
//!     }
//!
//!     async fn register(&self, date: NaiveDate) -> Result<Register> {
//!         Ok(Register::new(date, (self.context.now)(), []))
//!     }
//!
//!     fn register_rows(&self, _: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
//!         stream::empty().boxed()
//!     }
//! }
//!
//! # async fn host() -> Result<()> {
//! let mis = DESCRIPTOR.connect(ConnectContext::new("A1")).await?;
//! assert!(mis.write(&[]).await.is_err(), "the descriptor declares no marks");
//! # Ok(())
//! # }
//! # mis_core::futures::executor::block_on(host()).unwrap();
//! ```

mod adapter;
mod blame;
mod calendar;
mod capabilities;
mod code;
mod connect;
mod descriptor;
mod error;
mod id;
mod mark;
mod person;
mod quirks;
mod registry;
mod row;
mod session;
mod text;

pub use adapter::{Mis, MisAdapter};
pub use blame::Blame;
pub use calendar::CalendarEntry;
pub use capabilities::{Ability, Capabilities, Requirements, SessionWriteback, UnknownAbility};
pub use code::{AttendanceCode, ChosenFor, Code, CodeBook, NoCode, RepeatedCode};
pub use connect::{
    ConnectContext, Connecting, Now, RequestGate, RequestHeldBack, RequestInfo, RequestObserver,
    RequestPurpose, Secrets,
};
pub use descriptor::{Descriptor, Source};
pub use error::{Error, ErrorKind, Recovery, Result};
pub use id::{
    AttendanceCodeId, AttendanceId, ClassId, EmployeeId, LessonId, Receipt, SchoolId, StudentId,
};
pub use mark::{
    Accepted, EventKind, HeldCode, HeldMark, Lesson, Mark, MarkResult, RefusedMark, Register,
    WritebackOutcome,
};
pub use person::{
    DecodeIssue, Deletion, Group, Issues, Need, PeopleQuery, Person, PersonKind, Property,
    Relation, needed_for,
};
pub use quirks::{Quirks, cut_comment};
pub use registry::{Registration, Registry, Selection};
pub use row::{NotASlot, RegisterQuery, RegisterRow, Slot};
pub use session::{SchoolClock, Session, UnknownSession};
pub use text::{nfc, same_text};

/// The crates whose types are in the signatures of [`MisAdapter`], so that an adapter depends on this crate alone.
pub use async_trait::async_trait;
pub use {chrono, chrono_tz, futures, secrecy, serde_json};

/// For the expansion of [`register_adapter!`].
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
