//! Output of the commands: tables for a terminal, plain lines for a pipe, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// The formats of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table with lines around it.
    Table,
    /// Plain lines.
    Text,
    /// JSON.
    Json,
}

/// The formats of commands that print a table or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableOrJson {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
}

/// The formats of commands that print text or JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

/// Whether standard output is a terminal.
pub fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

impl Format {
    /// The requested format, or else a table on a terminal and plain lines elsewhere.
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

/// The text with control sequences escaped, because names and ids from outside may hold anything. Line ends and tabs
/// stay; other control characters, and those that change the writing direction, become `\u{1b}` and the like.
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

/// Prints one or more lines. A closed pipe, as after `head`, is no error.
///
/// # Errors
/// Returns an error if standard output cannot be written.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    whole(|out| writeln!(out, "{}", printable(text.as_ref())))
}

/// Prints a value as indented JSON.
///
/// # Errors
/// Returns an error if standard output cannot be written or the value cannot be serialised.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    whole(|out| writeln!(out, "{}", printable_json(&text)))
}

/// Escapes the same characters in JSON's form. JSON itself escapes only those below U+0020.
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

/// A table with these columns, drawn in Unicode on a terminal and in ASCII elsewhere, without colours.
pub fn table<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let columns = columns.map(str::to_owned).to_vec();
    table_of(columns, rows.into_iter().map(|row| row.to_vec()))
}

/// A table like [`table`]'s whose number of columns is known only at run time.
pub fn table_of(columns: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    if on_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(presets::ASCII_FULL_CONDENSED);
    }
    table.set_header(columns);
    // Before the layout, so that the columns keep their width.
    let cells = |row: Vec<String>| {
        let cells = row.iter().map(|cell| printable(cell).into_owned());
        cells.collect::<Vec<_>>()
    };
    table.add_rows(rows.into_iter().map(cells));
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
    fn control_characters_are_shown_and_not_sent_to_a_terminal() {
        assert_eq!(printable("Zoë\n\tŠ"), "Zoë\n\tŠ");
        assert_eq!(
            printable("\u{1b}[2J\u{9b}\u{7f}\r\u{202e}x"),
            r"\u{1b}[2J\u{9b}\u{7f}\u{d}\u{202e}x"
        );
        let table = table(["name"], [["\u{1b}]0;title\u{7}".to_owned()]]).to_string();
        assert!(table.contains(r"\u{1b}]0;title\u{7}"), "{table}");
    }

    #[test]
    fn printable_json_has_the_same_value() {
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
