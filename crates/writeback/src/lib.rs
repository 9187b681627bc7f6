#![doc = include_str!("../README.md")]

mod answers;
mod check;
mod decide;
mod decision;
mod england;
mod event;
mod findings;
mod reading;
mod rule;
mod rules;
mod school_day;
pub mod settings;
mod text;
mod view;

pub use answers::{AnswerProblem, check_answers};
pub use check::{Checked, check_fields, guidance_hints};
pub use decide::decide;
pub use decision::{Decision, DecisionOutcome, Hold, PlannedMark, RegisterBefore, SkipReason};
pub use event::Event;
pub use findings::{Hint, Problem};
pub use rule::Rule;
pub use rules::{Rules, SessionTimes, TimesOfDay, local_date};
pub use school_day::{CalendarSource, SchoolDay};
pub use view::{
    Arrival, ChosenMark, GroupContext, Previous, RegisterMark, RegisterSource, RegisterView,
    Standing, View, Withdrawn, WithdrawnTrace,
};
