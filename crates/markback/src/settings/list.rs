//! The list of schools in a file of its own, for very large numbers: CSV, a line for each school.

use std::{collections::HashMap, io, path::Path, sync::Arc};

use super::{
    Problem,
    findings::Place,
    schools::{Common, Schools},
    words::nearest,
};

const COLUMNS: [&str; 6] = [
    "id",
    "template",
    "mis",
    "timezone",
    "token_env",
    "token_file",
];

/// Adds the schools of the list to the others. What is wrong is told with the line, and the other lines are read on.
pub(super) fn read(path: &Path, schools: &mut Schools<'_, '_>) {
    let file: Arc<str> = path.display().to_string().into();
    match std::fs::File::open(path) {
        Ok(opened) => read_lines(opened, &file, schools),
        Err(error) => schools.findings.problems.push(Problem {
            file,
            line: None,
            key: "schools_file".to_owned(),
            value: None,
            what: format!("the list of schools cannot be read: {error}"),
            cure: "see that the file is there and may be read; its path is relative to the settings file"
                .to_owned(),
        }),
    }
}

fn read_lines(reader: impl io::Read, file: &Arc<str>, schools: &mut Schools<'_, '_>) {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(reader);
    let columns = match reader.headers() {
        Ok(headers) => columns(headers, file, schools),
        Err(error) => {
            schools.findings.problems.push(unreadable(file, &error));
            return;
        }
    };
    let mut row = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                schools.findings.problems.push(unreadable(file, &error));
                if matches!(error.kind(), csv::ErrorKind::Io(_)) {
                    return;
                }
                continue;
            }
        }
        let row = Row {
            file,
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
        schools.school(&row, text("id"), row.cell("template"), common);
    }
}

/// Which column holds what.
fn columns(
    headers: &csv::StringRecord,
    file: &Arc<str>,
    schools: &mut Schools<'_, '_>,
) -> HashMap<&'static str, usize> {
    let mut columns = HashMap::new();
    let mut wrong = |key: &str, what: &str, cure: String| {
        schools.findings.problems.push(Problem {
            file: file.clone(),
            line: Some(1),
            key: key.to_owned(),
            value: None,
            what: what.to_owned(),
            cure,
        });
    };
    for (at, header) in headers.iter().enumerate() {
        match COLUMNS.iter().find(|name| **name == header) {
            Some(name) if columns.contains_key(name) => {
                wrong(
                    header,
                    "there are two columns of this name",
                    "keep one of them".to_owned(),
                );
            }
            Some(name) => {
                columns.insert(*name, at);
            }
            None => {
                let cure = match nearest(header, COLUMNS) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("take it out; there are: {}", COLUMNS.join(", ")),
                };
                wrong(header, "there is no such column", cure);
            }
        }
    }
    columns
}

fn unreadable(file: &Arc<str>, error: &csv::Error) -> Problem {
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("this line has {len} cells, and the first has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "this line is no UTF-8 text".to_owned(),
        csv::ErrorKind::Io(error) => format!("the list of schools cannot be read: {error}"),
        _ => "this line cannot be read".to_owned(),
    };
    Problem {
        file: file.clone(),
        line: error
            .position()
            .and_then(|at| usize::try_from(at.line()).ok()),
        key: String::new(),
        value: None,
        what,
        cure: format!(
            "write a line for each school, with the columns of the first line out of {}",
            COLUMNS.join(", ")
        ),
    }
}

struct Row<'a> {
    file: &'a Arc<str>,
    columns: &'a HashMap<&'static str, usize>,
    cells: &'a csv::StringRecord,
}

impl Row<'_> {
    /// What the row says there; an empty cell says nothing.
    fn cell(&self, name: &str) -> Option<&str> {
        self.cells
            .get(*self.columns.get(name)?)
            .filter(|cell| !cell.is_empty())
    }
}

impl Place for Row<'_> {
    fn problem(&self, name: &str, what: &str, cure: &str) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self
                .cells
                .position()
                .and_then(|at| usize::try_from(at.line()).ok()),
            key: name.to_owned(),
            value: self
                .cell(name)
                .filter(|_| !name.starts_with("token"))
                .map(|cell| format!("{cell:?}")),
            what: what.to_owned(),
            cure: cure.to_owned(),
        }
    }
}
