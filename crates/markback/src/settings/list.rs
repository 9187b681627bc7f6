//! The list of schools in a CSV file, for very large numbers.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{
    Problem,
    findings::Place,
    schools::{Common, Entry, Schools},
    version,
    words::nearest,
};
use crate::text::bytes_without_bom;

const COLUMNS: [&str; 7] = [
    "id",
    "name",
    "template",
    "mis",
    "timezone",
    "token_env",
    "token_file",
];

/// A school as a list has it.
pub(super) struct Listed {
    pub(super) id: String,
    /// Its other cells that are not empty, by column.
    pub(super) cells: Vec<(&'static str, String)>,
}

/// Adds the listed schools to the others. Problems are reported with their lines, and the other lines are still read.
///
/// Returns the text that was read, if it is one.
pub(super) fn read(path: &Path, schools: &mut Schools) -> Option<Arc<str>> {
    let error = match std::fs::read(path) {
        Ok(bytes) => {
            read_text(path, &bytes, schools);
            return String::from_utf8(bytes).ok().map(Into::into);
        }
        Err(error) => error,
    };
    let file: Arc<str> = path.display().to_string().into();
    schools.findings.problems.push(Problem {
        file,
        line: None,
        key: "schools_file".to_owned(),
        value: None,
        message: format!("the list of schools cannot be read: {error}"),
        help:
            "check that the file exists and is readable; its path is relative to the settings file"
                .to_owned(),
    });
    None
}

/// The same from a text that was read before.
pub(super) fn read_text(path: &Path, text: &[u8], schools: &mut Schools) {
    let file: Arc<str> = path.display().to_string().into();
    read_lines(&with_plain_line_ends(text), &file, schools);
}

/// The text with Unix line ends, because only those count as lines.
fn with_plain_line_ends(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes_without_bom(bytes);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' => {
                rest.next_if(|next| **next == b'\n');
                plain.push(b'\n');
            }
            other => plain.push(*other),
        }
    }
    plain
}

/// The delimiter: a comma, or what spreadsheets of other countries use instead.
fn delimiter(text: &[u8]) -> u8 {
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
    [b',', b';', b'\t']
        .into_iter()
        .find(|delimiter| header.contains(delimiter))
        .unwrap_or(b',')
}

/// Finds the line of a position in the text. Positions must not decrease.
struct LineCounter<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    /// The line of the row that begins here or after blank lines.
    fn line_at(&mut self, place: Option<&csv::Position>) -> Option<usize> {
        let begins = usize::try_from(place?.byte()).ok()?;
        let blank = self.text.get(begins..)?.iter();
        let begins = begins + blank.take_while(|byte| **byte == b'\n').count();
        let passed = self.text.get(self.at..begins).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = self.at.max(begins);
        Some(self.line)
    }
}

fn read_lines(text: &[u8], file: &Arc<str>, schools: &mut Schools) {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(delimiter(text))
        .from_reader(text);
    let mut lines = LineCounter {
        text,
        at: 0,
        line: 1,
    };
    let columns = match reader.headers() {
        Ok(headers) => {
            let line = lines.line_at(headers.position());
            columns(headers, file, line, schools)
        }
        Err(error) => {
            let line = lines.line_at(error.position());
            schools
                .findings
                .problems
                .push(unreadable(file, line, &error));
            return;
        }
    };
    let mut row = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let line = lines.line_at(error.position());
                schools
                    .findings
                    .problems
                    .push(unreadable(file, line, &error));
                continue;
            }
        }
        let row = Row {
            file,
            line: lines.line_at(row.position()),
            columns: &columns,
            cells: &row,
        };
        let text = |name| row.cell(name).map(str::to_owned);
        let common = Common {
            mis: text("mis"),
            timezone: text("timezone"),
            token_env: text("token_env"),
            token_file: row.cell("token_file").map(Into::into),
            ..Common::default()
        };
        let entry = Entry {
            id: text("id"),
            name: text("name"),
            template: row.cell("template"),
            common,
            revision: version::of_cells(
                COLUMNS
                    .iter()
                    .filter_map(|name| Some((*name, row.cell(name)?))),
            ),
        };
        if let (Some(listed), Some(id)) = (&mut schools.listed, &entry.id) {
            let others = COLUMNS.iter().filter(|name| **name != "id");
            listed.push(Listed {
                id: id.clone(),
                cells: others
                    .filter_map(|name| Some((*name, row.cell(name)?.to_owned())))
                    .collect(),
            });
        }
        schools.school(&row, entry);
    }
}

/// Which column holds what.
fn columns(
    headers: &csv::StringRecord,
    file: &Arc<str>,
    line: Option<usize>,
    schools: &mut Schools,
) -> HashMap<&'static str, usize> {
    let mut columns = HashMap::new();
    let mut wrong = |key: &str, message: &str, help: String| {
        schools.findings.problems.push(Problem {
            file: file.clone(),
            line,
            key: key.to_owned(),
            value: None,
            message: message.to_owned(),
            help,
        });
    };
    for (at, header) in headers.iter().enumerate() {
        match COLUMNS.iter().find(|name| **name == header) {
            Some(name) if columns.contains_key(name) => {
                wrong(
                    header,
                    "there are two columns with this name",
                    "keep one of them".to_owned(),
                );
            }
            Some(name) => {
                columns.insert(*name, at);
            }
            None => {
                let help = match nearest(header, COLUMNS) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("remove it; there are: {}", COLUMNS.join(", ")),
                };
                wrong(header, "there is no such column", help);
            }
        }
    }
    columns
}

fn unreadable(file: &Arc<str>, line: Option<usize>, error: &csv::Error) -> Problem {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("this line has {len} cells, and the first has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "this line is not UTF-8 text".to_owned(),
        _ => "this line cannot be read".to_owned(),
    };
    Problem {
        file: file.clone(),
        line,
        key: String::new(),
        value: None,
        message,
        help: format!(
            "write a line for each school, with the columns of the first line out of {}",
            COLUMNS.join(", ")
        ),
    }
}

struct Row<'a> {
    file: &'a Arc<str>,
    line: Option<usize>,
    columns: &'a HashMap<&'static str, usize>,
    cells: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The row's value in this column; `None` for an empty cell.
    fn cell(&self, name: &str) -> Option<&str> {
        self.cells
            .get(*self.columns.get(name)?)
            .filter(|cell| !cell.is_empty())
    }
}

impl Place for Row<'_> {
    fn problem(&self, name: &str, message: &str, help: &str) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line,
            key: name.to_owned(),
            value: self
                .cell(name)
                .filter(|_| !name.starts_with("token"))
                .map(|cell| format!("{cell:?}")),
            message: message.to_owned(),
            help: help.to_owned(),
        }
    }
}
