//! What every command prints with: tables for a terminal, plain lines for a pipe, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How a command may print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table with lines around it.
    Table,
    /// Plain lines.
    Text,
    /// JSON.
    Json,
}

/// For commands that print a table or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableOrJson {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
}

/// For commands that print sentences or JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// Sentences for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

/// Whether somebody watches standard output, rather than a program.
pub fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

impl Format {
    /// What was asked for; else a table on a terminal and plain lines anywhere else.
    pub fn or_fitting(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| {
            if on_terminal() {
                Self::Table
            } else {
                Self::Text
            }
        })
    }
}

/// The text without what a terminal would obey: names and ids come from outside, and may hold anything. Line ends and
/// tabs stay; other control characters, and those that turn the direction of writing, are written as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_obeyed(char) {
            printable.extend(char.escape_unicode());
        } else {
            printable.push(char);
        }
    }
    Cow::Owned(printable)
}

fn is_obeyed(char: char) -> bool {
    (char.is_control() && !matches!(char, '\n' | '\t'))
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints a line on standard error.
pub fn error_line(text: impl AsRef<str>) {
    eprintln!("{}", printable(text.as_ref()));
}

/// Prints one line, or several. A reader that has gone away, such as `head`, is no error.
///
/// # Errors
/// When standard output cannot be written.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    whole(|out| writeln!(out, "{}", printable(text.as_ref())))
}

/// Prints a value as JSON with indents.
///
/// # Errors
/// When standard output cannot be written, or the value is no JSON.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    whole(|out| writeln!(out, "{}", printable_json(&text)))
}

/// The same JSON with such characters as JSON writes them. It escapes those below U+0020 itself, and no others.
fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_obeyed) {
        return Cow::Borrowed(json);
    }
    let escaped = json.chars().map(|char| {
        if is_obeyed(char) {
            format!("\\u{:04x}", u32::from(char))
        } else {
            char.to_string()
        }
    });
    Cow::Owned(escaped.collect())
}

/// A table with these columns. Lines are drawn in Unicode on a terminal and in ASCII elsewhere; there are no colours.
pub fn table<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let mut table = Table::new();
    if on_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(presets::ASCII_FULL_CONDENSED);
    }
    table.set_header(columns);
    // Before it is laid out, so that the columns keep their width.
    table.add_rows(
        rows.into_iter()
            .map(|row| row.map(|cell| printable(&cell).into_owned())),
    );
    table
}

fn whole(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_sent() {
        assert_eq!(printable("Zoë\n\tŠ"), "Zoë\n\tŠ");
        assert_eq!(
            printable("\u{1b}[2J\u{9b}\u{7f}\r\u{202e}x"),
            r"\u{1b}[2J\u{9b}\u{7f}\u{d}\u{202e}x"
        );
        let table = table(["name"], [["\u{1b}]0;title\u{7}".to_owned()]]).to_string();
        assert!(table.contains(r"\u{1b}]0;title\u{7}"), "{table}");
    }

    #[test]
    fn json_says_the_same_as_before() {
        let name = "\u{1b}\u{9b}31m\u{202e}Zoë";
        let json = serde_json::to_string(name).unwrap_or_default();
        let printed = printable_json(&json);
        assert!(!printed.contains(is_obeyed), "{printed}");
        assert_eq!(
            serde_json::from_str::<String>(&printed).ok().as_deref(),
            Some(name)
        );
    }
}
