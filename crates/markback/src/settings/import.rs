//! Reads a file of schools and templates that are to be taken into the database.

use std::{path::Path, sync::Arc};

use toml::{Spanned, de::DeValue};

use super::{
    Body, Hint, LoadError, Owner, Problem, Settings, bodies,
    document::Document,
    key::Key,
    list,
    schools::{Schools, entries},
};
use crate::store::SettingsKey;

/// What a file has, checked.
pub(crate) struct Imported {
    /// Templates first.
    pub(crate) bodies: Vec<Body>,
    pub(crate) hints: Vec<Hint>,
}

/// Reads and checks a TOML file of schools and templates, or a list of schools if its name ends in `.csv`. They may name
/// templates of the settings. `owner` tells who has a school or a template already.
pub(crate) fn import_from(
    settings: &Settings,
    path: &Path,
    owner: impl Fn(&SettingsKey) -> Option<Owner>,
) -> Result<Imported, LoadError> {
    let mut schools = Schools::of_store(&settings.service, (*settings.templates).clone());
    let is_list = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let bodies = if is_list {
        listed(&mut schools, path)
    } else {
        in_toml(&mut schools, path)?
    };
    for body in &bodies {
        let Some(owner) = owner(&body.key) else {
            continue;
        };
        let known = schools
            .findings
            .problems
            .iter()
            .any(|problem| problem.key.ends_with(".name"));
        if !known || body.key.scope == crate::store::Scope::School {
            schools.findings.problems.push(Problem {
                file: path.display().to_string().into(),
                line: None,
                key: body.key.to_string(),
                value: None,
                message: format!("the {owner} has it already"),
                help: match owner {
                    Owner::File => "leave it out, or move it with `markback schools adopt`",
                    Owner::Store => "leave it out, or change it with `markback settings draft`",
                }
                .to_owned(),
            });
        }
    }
    let (mut problems, hints) = (schools.findings.problems, schools.findings.hints);
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() {
        Ok(Imported { bodies, hints })
    } else {
        Err(LoadError::Problems { problems, hints })
    }
}

/// The texts of all templates and schools of a settings file, and of its list.
pub(crate) fn bodies_of_file(file: &Settings) -> Result<Vec<Body>, LoadError> {
    let path = &file.service.path;
    let text = read(path)?;
    let mut all = cut(path, &text)?;
    if let Some(list) = file.service.schools_file.as_deref() {
        let mut schools = Schools::new(&file.service.folder, (*file.templates).clone());
        all.extend(listed(&mut schools, list));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<String, LoadError> {
    crate::text::read_file(path).map_err(|why| LoadError::Read {
        path: path.to_owned(),
        why,
    })
}

fn cut(path: &Path, text: &str) -> Result<Vec<Body>, LoadError> {
    bodies::of_text(text).map_err(|error| LoadError::Problems {
        problems: vec![bodies::not_cut(&path.display().to_string(), &error)],
        hints: Vec::new(),
    })
}

fn listed(schools: &mut Schools, path: &Path) -> Vec<Body> {
    schools.listed = Some(Vec::new());
    list::read(path, schools);
    let lines = schools.listed.take().unwrap_or_default();
    lines.iter().map(bodies::of_line).collect()
}

fn in_toml(schools: &mut Schools, path: &Path) -> Result<Vec<Body>, LoadError> {
    let text = read(path)?;
    let file: Arc<str> = path.display().to_string().into();
    let document = Document::parse(&file, &text).map_err(|problem| LoadError::Problems {
        problems: vec![*problem],
        hints: Vec::new(),
    })?;
    if let DeValue::Table(all) = document.root().get_ref() {
        for key in all.keys().map(Spanned::get_ref) {
            if !["school", "template"].contains(&key.as_ref()) {
                schools.findings.problems.push(document.problem(
                    &Key::default().name(key),
                    "only schools and templates are imported",
                    "remove it; the settings of the service belong into the settings file",
                ));
            }
        }
    }
    schools.templates(&document);
    schools.schools(&document);
    let count = ["template", "school"]
        .map(|list| entries(&document, list, &mut schools.findings).len())
        .iter()
        .sum::<usize>();
    if count == 0 && schools.findings.problems.is_empty() {
        schools.findings.problems.push(document.problem(
            &Key::default(),
            "it contains no school and no template",
            "write each school as a `[[school]]`",
        ));
    }
    cut(path, &text)
}
