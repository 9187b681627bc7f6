#![doc = include_str!("../README.md")]

mod answer;
mod apply;
mod change;
mod directory;
mod guard;
mod held;
mod identity;
mod member;
mod part;
mod publish;
mod pull;
mod report;
mod roll;
mod settings;
mod split;
mod state;
mod words;
mod year;

pub use answer::{Answer, Answers, Extent, Unreadable};
pub use apply::{Outcome, When};
pub use change::{Cause, Change, What};
pub use directory::{Directory, Entry};
pub use guard::Guard;
pub use held::{Doubt, Held};
pub use identity::{Identity, Keyring, PersonKey};
pub use member::{Field, Former, List, Member};
pub use mis_core::{PersonKind, Property};
pub use part::Part;
pub use pull::{Progress, Pull};
pub use report::{Report, Tally};
pub use roll::Roll;
pub use settings::{Flaw, Group, GroupName, Keep, Membership, Needs, Settings};
pub use split::{Overlap, Stray};
pub use state::{Known, Reach, State};
pub use words::{one_or_many, one_or_many_schema};
pub use year::Year;
