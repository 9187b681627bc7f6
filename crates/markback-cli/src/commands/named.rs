//! The schools and groups that the arguments of a command name.

use mis_core::SchoolId;

use markback::settings::{Group, School, Settings, nearest};
use markback_console::BadInput;

/// The school with this id.
pub(super) fn school<'s>(settings: &'s Settings, id: &str) -> Result<&'s School, BadInput> {
    settings.school(&SchoolId::from(id)).ok_or_else(|| {
        let ids = settings.schools.iter().map(|school| school.id.as_str());
        BadInput(format!(
            "the settings have no school `{id}`; {}",
            instead("--school", id, ids)
        ))
    })
}

/// The schools with these ids; without ids, all schools with groups.
pub(super) fn schools(settings: &Settings, ids: &[String]) -> Result<Vec<School>, BadInput> {
    if ids.is_empty() {
        let with_groups = settings
            .schools
            .iter()
            .filter(|school| !school.groups.is_empty());
        return Ok(with_groups.cloned().collect());
    }
    ids.iter().map(|id| school(settings, id).cloned()).collect()
}

/// The school's group with this name.
pub(super) fn group<'s>(school: &'s School, name: &str) -> Result<&'s Group, BadInput> {
    school.group(name).ok_or_else(|| {
        let names = school.groups.iter().map(|group| group.name.as_str());
        BadInput(format!(
            "school {} has no group `{name}`; {}",
            school.id,
            instead("--group", name, names)
        ))
    })
}

/// A suggestion for an unknown name.
fn instead<'n>(option: &str, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    const MANY: usize = 20;
    if let Some(meant) = nearest(name, names.clone()) {
        return format!("did you mean `{meant}`?");
    }
    let mut words: Vec<_> = names
        .clone()
        .take(MANY)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.count() {
        0 => return "the settings have none; add one".to_owned(),
        count if count > MANY => words.push(format!("and {} more", count - MANY)),
        _ => {}
    }
    format!("name another with {option}: {}", words.join(", "))
}
