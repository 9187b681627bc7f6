//! What every command prints with: tables for a terminal, plain lines for a pipe, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

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

/// Prints one line, or several. A reader that has gone away, such as `head`, is no error.
///
/// # Errors
/// When standard output cannot be written.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    whole(|out| writeln!(out, "{}", text.as_ref()))
}

/// Prints a value as JSON with indents.
///
/// # Errors
/// When standard output cannot be written, or the value is no JSON.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    whole(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
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
    table.add_rows(rows);
    table
}

fn whole(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
