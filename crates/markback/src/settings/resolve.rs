//! Turns the text of the settings file into settings, or into all of its problems.

use std::{path::Path, sync::Arc};

use super::{
    LoadError, Loaded, Problem, Settings,
    document::Document,
    findings::Findings,
    key::Key,
    list,
    schools::{Schools, Templates},
    service,
};

/// Reads the text and checks all of it. The list of schools that it names is read from its file, unless its text is given.
pub(super) fn resolve(
    path: &Path,
    text: &str,
    list_text: Option<&str>,
) -> Result<Loaded, LoadError> {
    let file: Arc<str> = path.display().to_string().into();
    let document = Document::parse(&file, text).map_err(|problem| LoadError::Problems {
        problems: vec![*problem],
        hints: Vec::new(),
    })?;
    let mut findings = Findings::default();
    let mut list_read = None;
    let service = service::read(&document, path, &mut findings);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut schools = Schools::new(folder, Templates::default());
    schools.findings = findings;
    schools.templates(&document);
    schools.schools(&document);
    if let Some(list) = service
        .as_ref()
        .and_then(|service| service.schools_file.as_deref())
    {
        match list_text {
            Some(text) => list::read_text(list, text.as_bytes(), &mut schools),
            None => list_read = list::read(list, &mut schools),
        }
    }
    let Schools {
        schools,
        templates,
        mut findings,
        ..
    } = schools;
    if schools.is_empty() && findings.problems.is_empty() {
        findings.hints.push(document.problem(
            &Key::default(),
            "it contains no school",
            "add a `[[school]]` with `id`, `timezone` and `token_env`",
        ));
    }
    // In the order of the file; a file that it names comes after it.
    let in_order = |finding: &Problem| (finding.file != file, finding.line);
    findings.problems.sort_by_key(in_order);
    findings.hints.sort_by_key(in_order);
    match service {
        Some(service) if findings.problems.is_empty() => Ok(Loaded {
            settings: Settings {
                templates: Arc::new(templates),
                ..Settings::new(service, schools)
            },
            hints: findings.hints,
            text: text.into(),
            list_text: list_text.map(Into::into).or(list_read),
        }),
        _ => Err(LoadError::Problems {
            problems: findings.problems,
            hints: findings.hints,
        }),
    }
}
