//! Who acts in these tests.

use markback::operator::Actor;

/// Ann, with this note on what she does.
pub(crate) fn ann(note: &str) -> Actor {
    Actor {
        by: Some("Ann".to_owned()),
        via: "test",
        note: Some(note.to_owned()),
        ..Actor::default()
    }
}
