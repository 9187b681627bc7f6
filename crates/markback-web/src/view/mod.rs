//! Words and shapes that pages share.

pub mod picture;
pub mod quarters;
pub mod reason;
pub(crate) mod said;
pub mod state;
pub mod story;
pub mod time;
pub mod who;

/// A number with its word, which gets an `s` unless it is one: `1 minute`, `2 minutes`.
pub fn count(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}
