//! The path of an event: received, decided, sent and confirmed.
//!
//! 1. `intake` checks events and stores them, each with a decide job.
//! 2. `decide` applies the rules and plans a mark, with a send job.
//! 3. `send` writes the marks of one school as a register, with a confirm job; `gathering` tells when.
//! 4. `confirm` follows the register until the outcome of each mark is known; `looks` tells when to ask.
//!
//! `worker` claims the `jobs` of the last three and runs them. Each step returns its `effects`, which are written in
//! one transaction with the next job; small ones of several schools are written `together`. `failure` tells how to continue
//! after an error. Jobs carry ids only: a `planned` mark is kept with its event, and `resend` tells how a refused one goes
//! again.
//!
//! Intake writes its own transaction, because only the transaction itself shows which events are new. It locks events
//! before the order of the queues, as `effects` do.

pub(crate) mod intake;

mod worker;

mod decide;

mod gathering;

mod looks;

mod send;

mod confirm;

mod effects;
pub(crate) mod failure;
pub(crate) mod hold;
pub(crate) mod jobs;
mod planned;
mod resend;
mod together;

mod liveness;
mod sharding;

pub(crate) use decide::{preview, school_day, view};
pub use intake::{EVENTS_MAX, InputProblem, Intake, IntakeError, IntakeResult, ReceivedEvent};
pub use liveness::Health;
pub(crate) use looks::Told;
pub(crate) use planned::PlannedMark;
pub use worker::WorkerConfig;
pub(crate) use worker::Workers;
