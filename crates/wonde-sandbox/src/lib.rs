//! A stateful simulator of the Wonde API, for tests and demos.
//!
//! [`Sandbox::start`] opens a real HTTP server on loopback with schools of every MIS inside. A register written to it
//! is accepted at once, applied to the school's MIS after a delay and with that MIS's limits, and visible in the API
//! after the next extraction. Time comes from an injected clock and data from a seed, so runs are reproducible.
//!
//! It was written from documentation, not against the live service: `README.md` states what is known, inferred and
//! guessed.
//!
//! ```
//! # use wonde_sandbox::{Sandbox, SandboxOptions};
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let sandbox = Sandbox::start(SandboxOptions::default()).await?;
//! let school = &sandbox.schools()[0];
//! assert_eq!(school.mis, "SIMS");
//! println!("{} with token {}", sandbox.base_url(), sandbox.token());
//! sandbox.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api;
mod changes;
mod codes;
mod control;
mod counts;
mod cut;
mod direct;
mod error;
mod extraction;
mod faults;
mod ids;
mod inner;
mod mis;
mod options;
mod paging;
mod query;
mod register;
mod reply;
mod resources;
mod rounds;
mod sandbox;
mod school;
mod server;
mod webhooks;
mod wire;
mod world;
mod writeback;

pub use changes::Change;
pub use counts::RequestCounts;
pub use direct::{
    AdultInfo, CodeChange, Handle, LinkInfo, MarkHistory, MarkVersion, MisMark, NewLesson,
    SchoolInfo, StudentInfo, TeacherMark,
};
pub use error::Error;
pub use faults::{Fault, FaultRule, RetryAfter};
pub use inner::WebhookMode;
pub use options::{Clock, SandboxOptions};
pub use sandbox::Sandbox;
pub use school::{Access, Hours};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
