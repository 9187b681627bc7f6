//! The texts of single schools and templates: cut out of a settings file, and put into one. Comments stay.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Key, RawString, Table, Value, value};

use super::{Problem, list::Listed};
use crate::store::{Scope, SettingsKey};

/// The text of a school or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// Whose.
    pub(crate) key: SettingsKey,
    /// What the file says of it, without its id or name.
    pub(crate) text: String,
}

/// How a scope is written in a file: the list, and the key of its name.
fn words(scope: Scope) -> (&'static str, &'static str) {
    match scope {
        Scope::School => ("school", "id"),
        Scope::Template => ("template", "name"),
    }
}

/// All templates and schools of a valid settings file, without those of its list.
pub(super) fn of_text(text: &str) -> Result<Vec<Body>, toml_edit::TomlError> {
    let document: DocumentMut = crate::text::without_bom(text).parse()?;
    let mut bodies = Vec::new();
    for scope in [Scope::Template, Scope::School] {
        let (list, name_key) = words(scope);
        for mut table in tables(document.get(list)) {
            let Some((key, name)) = table.remove_entry(name_key) else {
                continue;
            };
            let beside = comments_of(&key, &name);
            let Some(name) = name.as_str() else {
                continue;
            };
            bodies.push(Body {
                key: SettingsKey {
                    scope,
                    name: name.to_owned(),
                },
                text: own_text(table, &beside),
            });
        }
    }
    Ok(bodies)
}

fn tables(item: Option<&Item>) -> Vec<Table> {
    match item {
        Some(Item::ArrayOfTables(list)) => list.iter().cloned().collect(),
        Some(Item::Value(Value::Array(list))) => list
            .iter()
            .filter_map(|one| Some(one.as_inline_table()?.clone().into_table()))
            .collect(),
        _ => Vec::new(),
    }
}

/// What was said above and beside the line of a name, which the text does not have.
fn comments_of(key: &Key, name: &Item) -> String {
    let above = key.leaf_decor().prefix();
    let beside = name.as_value().and_then(|value| value.decor().suffix());
    let lines = [above, beside]
        .into_iter()
        .flatten()
        .filter_map(RawString::as_str);
    lines
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The table as a text of its own. What was said above its header and beside its name comes first.
fn own_text(mut table: Table, beside: &str) -> String {
    let above = table
        .decor()
        .prefix()
        .and_then(|above| above.as_str())
        .unwrap_or_default()
        .trim_start()
        .to_owned();
    table.decor_mut().clear();
    let text = DocumentMut::from(table).to_string();
    format!("{above}{beside}{}", text.trim_start_matches('\n'))
}

/// The text of a school of a list.
pub(super) fn of_line(line: &Listed) -> Body {
    let mut table = Table::new();
    for (name, cell) in &line.cells {
        table.insert(name, value(cell));
    }
    Body {
        key: SettingsKey::school(&line.id),
        text: DocumentMut::from(table).to_string(),
    }
}

/// The text as an entry of a settings file.
pub(crate) fn as_entry(body: &Body) -> Result<String, toml_edit::TomlError> {
    let (list, name_key) = words(body.key.scope);
    let document: DocumentMut = crate::text::without_bom(&body.text).parse()?;
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    let mut own = document.into_table();
    let mut table = Table::new();
    table.insert(name_key, value(&body.key.name));
    // A key keeps the comments above it.
    let names: Vec<_> = own.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| *name != name_key) {
        if let Some((key, item)) = own.remove_entry(name) {
            table.insert_formatted(&key, item);
        }
    }
    let mut entries = ArrayOfTables::new();
    entries.push(table);
    let mut file = DocumentMut::new();
    file.insert(list, Item::ArrayOfTables(entries));
    Ok(format!("{file}{trailing}"))
}

/// Says that a text cannot be cut, which only happens if it was not checked before.
pub(super) fn not_cut(file: &str, error: &toml_edit::TomlError) -> Problem {
    Problem {
        file: file.into(),
        line: None,
        key: String::new(),
        value: None,
        message: format!("this is not valid TOML: {}", error.message()),
        help: "correct the text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "listen = '127.0.0.1:1'

# For all secondary schools.
[[template]]
name = 'secondary'
timezone = 'Europe/London'

# The first, since May.
[[school]]
id = 'A1' # Hill Road
template = 'secondary' # as agreed
persons.by = ['upi']

# Seniors sign in by themselves.
[[school.group]]
name = 'Sixth form'
kind = 'students'
[school.group.writeback]
am = { late = '09:00' }

[[school]]
template = 'secondary'
id = 'A2'
";

    #[test]
    fn a_school_is_cut_out_with_its_comments() {
        let bodies = of_text(FILE).unwrap();
        let names: Vec<_> = bodies.iter().map(|body| body.key.to_string()).collect();
        assert_eq!(names, ["template secondary", "school A1", "school A2"]);
        assert_eq!(
            bodies[1].text,
            "# The first, since May.\n\
             # Hill Road\n\
             template = 'secondary' # as agreed\n\
             persons.by = ['upi']\n\n\
             # Seniors sign in by themselves.\n\
             [[group]]\nname = 'Sixth form'\nkind = 'students'\n\
             [group.writeback]\nam = { late = '09:00' }\n"
        );
        assert_eq!(bodies[2].text, "template = 'secondary'\n");
    }

    #[test]
    fn what_was_cut_out_is_put_back() {
        let bodies = of_text(FILE).unwrap();
        assert_eq!(
            as_entry(&bodies[1]).unwrap(),
            "[[school]]\nid = \"A1\"\n\
             # The first, since May.\n\
             # Hill Road\n\
             template = 'secondary' # as agreed\n\
             persons.by = ['upi']\n\n\
             # Seniors sign in by themselves.\n\
             [[school.group]]\nname = 'Sixth form'\nkind = 'students'\n\
             [school.group.writeback]\nam = { late = '09:00' }\n"
        );
        let whole: String = bodies.iter().map(|body| as_entry(body).unwrap()).collect();
        assert_eq!(of_text(&whole).unwrap(), bodies);
    }

    #[test]
    fn a_list_in_brackets_is_read_as_well() {
        let bodies = of_text("school = [{ id = 'A1', mis = 'SIMS' }]").unwrap();
        assert_eq!(bodies[0].key, SettingsKey::school("A1"));
        assert_eq!(bodies[0].text, "mis = 'SIMS'\n");
    }

    #[test]
    fn a_line_of_a_list_becomes_a_text() {
        let line = Listed {
            id: "A1".to_owned(),
            cells: vec![("template", "it's".to_owned()), ("mis", "SIMS".to_owned())],
        };
        assert_eq!(of_line(&line).text, "template = \"it's\"\nmis = \"SIMS\"\n");
    }
}
