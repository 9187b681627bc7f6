//! Groups of students, staff and parents, filled from the MIS and kept right.
//!
//! A [`Pull`] reads a school through its [`Mis`](mis_core::Mis), in full or what changed. [`State::apply`] lays what was
//! read over what was known, splits the people among the groups of the [`Settings`], and gives the [`Change`]s between
//! the old lists and the new. What looks like a mistake (an empty answer, a lost permission, a group that shrinks at
//! once) is held back and told, and the old list stays. The host stores the [`State`] and the changes; a [`Directory`]
//! finds a person by any id.
//!
//! ```
//! use roster::{Directory, Group, Membership, Pull, Settings, State, When};
//! use mis_core::{Mis, PersonKind};
//!
//! # async fn sync(mis: &Mis, state: State, when: When) -> Result<(), mis_core::Error> {
//! let settings = Settings::new(vec![Group {
//!     name: "Years 7-11".into(),
//!     kind: PersonKind::Student,
//!     membership: Membership {
//!         years: ["7", "8", "9", "10", "11"].map(String::from).into(),
//!         ..Membership::default()
//!     },
//! }]);
//! let mut pull = Pull::new(&state, &settings, false, when.now);
//! pull.run(mis, &state, || when.now, &mut |_| ()).await?;
//! let outcome = state.apply(&settings, &pull.into_answers(), when, false);
//! for held in &outcome.report.held {
//!     eprintln!("{held}");
//! }
//! let directory = Directory::of(&outcome.state, when.today);
//! assert!(directory.find("nobody's id").is_none());
//! # Ok(())
//! # }
//! ```

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
