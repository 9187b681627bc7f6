//! Reads a group's fields out of the text of a school's settings, and writes them into it. Comments and everything else in
//! the text stay as they are.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{FormField, Kind};

/// Why a text was not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// It is not TOML.
    #[error("the text of the settings cannot be read; correct it as a text first")]
    Unreadable,
    /// It has no such group.
    #[error("the settings have no group of this name any more")]
    NoGroup,
}

/// A value as the form shows it; flags are `true` or `false`. Empty if the settings do not say.
pub(crate) fn shown(writeback: &serde_json::Value, field: &FormField) -> String {
    let value = field
        .key
        .split('.')
        .try_fold(writeback, |value, part| value.get(part));
    match (field.kind, value) {
        (Kind::Flag(default), None | Some(serde_json::Value::Null)) => default.to_string(),
        (_, None | Some(serde_json::Value::Null)) => String::new(),
        (_, Some(serde_json::Value::String(text))) => text.clone(),
        (_, Some(serde_json::Value::Array(list))) => {
            let list = list.iter().map(|one| match one.as_str() {
                Some(text) => text.to_owned(),
                None => one.to_string(),
            });
            list.collect::<Vec<_>>().join(", ")
        }
        (_, Some(other)) => other.to_string(),
    }
}

/// The writeback settings of a group in a text, as they are written; `None` if the text or the group cannot be read.
pub(crate) fn writeback(text: &str, group: &str) -> Option<serde_json::Value> {
    let settings: toml_edit::DocumentMut = text.parse().ok()?;
    let (_, group) = group_in(settings.as_item().as_table_like()?.get("group")?, group)?;
    let Some(writeback) = group.get("writeback").and_then(Item::as_table_like) else {
        return Some(serde_json::json!({}));
    };
    Some(json_of(writeback))
}

/// The place of a group in a text, from zero.
pub(crate) fn place(text: &str, group: &str) -> Option<usize> {
    let settings: toml_edit::DocumentMut = text.parse().ok()?;
    group_in(settings.get("group")?, group).map(|(place, _)| place)
}

/// Whether a text has groups of its own, rather than those of a template.
pub(crate) fn has_groups(text: &str) -> bool {
    text.parse::<DocumentMut>()
        .is_ok_and(|settings| settings.contains_key("group"))
}

fn group_in<'t>(groups: &'t Item, name: &str) -> Option<(usize, &'t dyn TableLike)> {
    let is_named = |table: &dyn TableLike| {
        let own = table.get("name").and_then(Item::as_str);
        own.is_some_and(|own| own.trim() == name.trim())
    };
    if let Some(tables) = groups.as_array_of_tables() {
        let tables = tables.iter().map(|table| table as &dyn TableLike);
        return tables.enumerate().find(|(_, table)| is_named(*table));
    }
    let tables = groups.as_array()?.iter().enumerate();
    tables
        .filter_map(|(place, value)| Some((place, value.as_inline_table()? as &dyn TableLike)))
        .find(|(_, table)| is_named(*table))
}

fn json_of(table: &dyn TableLike) -> serde_json::Value {
    let pairs = table.iter().filter_map(|(key, item)| {
        let value = match item.as_table_like() {
            Some(table) => json_of(table),
            None => json_of_value(item.as_value()?),
        };
        Some((key.to_owned(), value))
    });
    serde_json::Value::Object(pairs.collect())
}

fn json_of_value(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(flag) => (*flag.value()).into(),
        Value::Datetime(at) => at.value().to_string().into(),
        Value::Array(list) => list.iter().map(json_of_value).collect(),
        Value::InlineTable(table) => json_of(table),
    }
}

/// Writes what was typed into the text. A field that is as before leaves its place in the text untouched.
pub(crate) fn edited<'f>(
    text: &str,
    group: &str,
    typed: impl IntoIterator<Item = (&'f FormField, String)>,
) -> Result<String, EditError> {
    let mut settings: DocumentMut = text.parse().map_err(|_| EditError::Unreadable)?;
    let before = writeback(text, group).ok_or(EditError::NoGroup)?;
    let place = place(text, group).ok_or(EditError::NoGroup)?;
    let groups = settings.get_mut("group").ok_or(EditError::NoGroup)?;
    let is_inline = !groups.is_array_of_tables();
    let table: &mut dyn TableLike = if is_inline {
        let value = groups.as_array_mut().and_then(|list| list.get_mut(place));
        value
            .and_then(Value::as_inline_table_mut)
            .ok_or(EditError::NoGroup)?
    } else {
        let tables = groups.as_array_of_tables_mut();
        tables
            .and_then(|tables| tables.get_mut(place))
            .ok_or(EditError::NoGroup)?
    };
    for (field, typed) in typed {
        let typed = typed.trim();
        if typed == shown(&before, field) {
            continue;
        }
        let value = value_of(field.kind, typed);
        let path: Vec<_> = std::iter::once("writeback")
            .chain(field.key.split('.'))
            .collect();
        set(table, &path, value, is_inline);
    }
    Ok(settings.to_string())
}

/// The value of what was typed; `None` takes the key out.
fn value_of(kind: Kind, typed: &str) -> Option<Value> {
    match kind {
        // One that is not set was shown as its default, so it has changed.
        Kind::Flag(_) => Some((typed == "true").into()),
        Kind::Time | Kind::Text => (!typed.is_empty()).then(|| typed.into()),
        Kind::List => {
            let list = typed
                .split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty());
            let list: toml_edit::Array = list.collect();
            (!list.is_empty()).then(|| list.into())
        }
    }
}

fn set(table: &mut dyn TableLike, path: &[&str], value: Option<Value>, inline: bool) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        match (value, table.get_mut(first)) {
            (None, _) => {
                table.remove(first);
            }
            (Some(mut value), Some(item)) => {
                if let Some(before) = item.as_value() {
                    *value.decor_mut() = before.decor().clone();
                }
                *item = Item::Value(value);
            }
            (Some(value), None) => {
                table.insert(first, Item::Value(value));
            }
        }
        return;
    }
    if table.get(first).and_then(Item::as_table_like).is_none() {
        if value.is_none() {
            return;
        }
        // The writeback settings are a table of their own, and the tables in them are short.
        let empty = if inline || *first != "writeback" {
            Item::Value(InlineTable::new().into())
        } else {
            Item::Table(Table::new())
        };
        table.insert(first, empty);
    }
    if let Some(inner) = table.get_mut(first).and_then(Item::as_table_like_mut) {
        let removes = value.is_none();
        set(inner, rest, value, inline);
        if removes && (inline || *first != "writeback") {
            // What is left has the blanks of what is gone.
            inner.fmt();
        }
        if inner.is_empty() && *first != "writeback" {
            table.remove(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::fields, *};

    const TEXT: &str = r#"timezone = "Europe/London" # ours
[[group]]
name = "Staff"
kind = "staff"
[[group]]
name = "Pupils"
kind = "students"
# agreed in May
[group.writeback]
closes = "15:30"
am = { late = "09:00", unauthorised = 09:30:00 } # the bell
protected = ["M", "I"]
"#;

    fn field(key: &str) -> &'static FormField {
        fields().find(|field| field.key == key).unwrap()
    }

    fn changed(text: &str, key: &str, typed: &str) -> String {
        edited(text, "Pupils", [(field(key), typed.to_owned())]).unwrap()
    }

    #[rstest]
    #[case("am.late", "09:00")]
    #[case("am.unauthorised", "09:30:00")]
    #[case("closes", "15:30")]
    #[case("protected", "M, I")]
    #[case("present", "false")]
    #[case("minutes_late", "true")]
    #[case("leaver_code", "")]
    fn values_are_shown_as_they_are_written(#[case] key: &str, #[case] value: &str) {
        let writeback = writeback(TEXT, "Pupils").unwrap();
        assert_eq!(shown(&writeback, field(key)), value);
    }

    #[test]
    fn what_is_typed_again_changes_nothing() {
        let writeback = writeback(TEXT, "Pupils").unwrap();
        let typed = fields().map(|field| (field, shown(&writeback, field)));
        assert_eq!(edited(TEXT, "Pupils", typed).unwrap(), TEXT);
    }

    #[rstest]
    #[case(
        "am.late",
        "09:05",
        r#"am = { late = "09:05", unauthorised = 09:30:00 } # the bell"#
    )]
    #[case("am.unauthorised", "", r#"am = { late = "09:00" } # the bell"#)]
    #[case("protected", "M", r#"protected = ["M"]"#)]
    #[case("hold.codes", "U, O", r#"hold = { codes = ["U", "O"] }"#)]
    #[case("present", "true", "present = true")]
    fn one_place_changes_and_the_rest_stays(
        #[case] key: &str,
        #[case] typed: &str,
        #[case] line: &str,
    ) {
        let after = changed(TEXT, key, typed);
        assert!(after.lines().any(|one| one == line), "{after}");
        for kept in [
            "# ours",
            "# agreed in May",
            "# the bell",
            "closes = \"15:30\"",
        ] {
            assert!(after.contains(kept), "{kept} in {after}");
        }
        let staff = "name = \"Staff\"\nkind = \"staff\"\n";
        assert!(after.contains(staff));
    }

    #[test]
    fn a_group_without_writeback_gets_some() {
        let text = "[[group]]\nname = \"Pupils\"\nkind = \"students\"\n";
        let after = changed(text, "closes", "15:00");
        assert_eq!(
            shown(&writeback(&after, "Pupils").unwrap(), field("closes")),
            "15:00"
        );
        assert_eq!(edited(text, "Boarders", []), Err(EditError::NoGroup));
        assert_eq!(edited("[[", "Pupils", []), Err(EditError::Unreadable));
    }

    #[test]
    fn groups_may_stand_in_one_line() {
        let text = "group = [{ name = \"Pupils\", kind = \"students\", writeback = { closes = \"15:00\" } }]\n";
        let after = changed(text, "am.late", "09:00");
        assert_eq!(
            shown(&writeback(&after, "Pupils").unwrap(), field("am.late")),
            "09:00"
        );
        assert_eq!(changed(&after, "am.late", ""), text);
    }
}
