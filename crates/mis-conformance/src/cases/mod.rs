//! All cases. The capabilities that an adapter declares select the cases that run; nothing else does.

mod abilities;
mod capabilities;
mod codes;
mod declaration;
mod faults;
mod first_lesson;
mod isolation;
mod reading;
mod registers;
mod sandbox;
mod secrets;

use mis_wonde::{Capabilities, SessionWriteback};

use crate::case::Case;

/// Declares cases: kind, ability or `None`, name, the adapters that it applies to, and the function that runs it.
macro_rules! cases {
    ($($kind:ident $ability:expr, $name:literal, $is_for:expr => $run:path;)*) => {
        pub(super) const CASES: &[crate::case::Case] = &[$(
            crate::case::Case {
                name: $name,
                kind: crate::report::Kind::$kind,
                ability: $ability,
                is_for: $is_for,
                run: |bench| Box::pin($run(bench)),
            },
        )*];
    };
}
use cases;

/// Every case, in the order in which they are run and reported.
pub(crate) fn all() -> Vec<Case> {
    [
        declaration::CASES,
        capabilities::CASES,
        abilities::CASES,
        reading::CASES,
        codes::CASES,
        registers::CASES,
        first_lesson::CASES,
        faults::CASES,
        isolation::CASES,
        secrets::CASES,
        sandbox::CASES,
    ]
    .concat()
}

fn everybody(_: &Capabilities) -> bool {
    true
}

fn writers(declared: &Capabilities) -> bool {
    declared.session != SessionWriteback::No
}

fn readers_only(declared: &Capabilities) -> bool {
    !writers(declared)
}

fn on_first_lessons(declared: &Capabilities) -> bool {
    declared.session == SessionWriteback::FirstLesson
}
