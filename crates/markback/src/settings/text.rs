//! One school's settings, or one template's, as a text of its own: what the settings file says in its table.

use std::sync::Arc;

use mis_core::SchoolId;

use super::{
    Hint, LoadError, School, Settings,
    document::Document,
    findings::Findings,
    key::Key,
    schools::Schools,
    version::{self, Revision},
};

/// Checks the settings of one school, which is written like a `[[school]]` of the settings file without its `id`.
///
/// Templates and the folder for relative paths are those of the settings. `name` is the name of the text in problems.
/// The version of the school is the fingerprint of the text, because a text on its own has no number.
///
/// # Errors
/// Returns an error with all problems, in the order of the text.
pub fn school_from_text(
    settings: &Settings,
    id: &SchoolId,
    name: &str,
    text: &str,
) -> Result<(School, Vec<Hint>), LoadError> {
    let mut schools = Schools::of_store(&settings.service, (*settings.templates).clone());
    school_of(&mut schools, id, name, text, None)
}

/// Checks a template, which is written like a `[[template]]` of the settings file without its `name`. See
/// [`school_from_text`].
///
/// # Errors
/// Returns an error with all problems, in the order of the text.
pub fn template_from_text(
    settings: &Settings,
    template: &str,
    name: &str,
    text: &str,
) -> Result<Vec<Hint>, LoadError> {
    let mut schools = Schools::of_store(&settings.service, (*settings.templates).clone());
    template_of(&mut schools, template, name, text, None)
}

/// Checks a school and takes its templates from those gathered. `None` takes the fingerprint for its version.
pub(super) fn school_of(
    schools: &mut Schools,
    id: &SchoolId,
    name: &str,
    text: &str,
    revision: Option<Revision>,
) -> Result<(School, Vec<Hint>), LoadError> {
    let hints = read(schools, name, text, |schools, document| {
        let revision = revision.unwrap_or_else(|| version::of_value(document.root().get_ref()));
        schools.school_in(
            document,
            Key::default(),
            document.root(),
            Some(id),
            revision,
        );
    })?;
    let school = schools.take(id).ok_or_else(|| LoadError::Problems {
        problems: Vec::new(),
        hints: hints.clone(),
    })?;
    Ok((school, hints))
}

/// Checks a template and adds it to those gathered, in place of one with the same name.
pub(super) fn template_of(
    schools: &mut Schools,
    template: &str,
    name: &str,
    text: &str,
    revision: Option<Revision>,
) -> Result<Vec<Hint>, LoadError> {
    read(schools, name, text, |schools, document| {
        let revision = revision.unwrap_or_else(|| version::of_value(document.root().get_ref()));
        schools.template_in(
            document,
            Key::default(),
            document.root(),
            Some(template),
            revision,
        );
    })
}

fn read(
    schools: &mut Schools,
    name: &str,
    text: &str,
    take_in: impl FnOnce(&mut Schools, &Document<'_>),
) -> Result<Vec<Hint>, LoadError> {
    let file: Arc<str> = name.into();
    let text = crate::text::without_bom(text);
    let document = Document::parse(&file, text).map_err(|problem| LoadError::Problems {
        problems: vec![*problem],
        hints: Vec::new(),
    })?;
    take_in(schools, &document);
    let Findings {
        mut problems,
        mut hints,
    } = std::mem::take(&mut schools.findings);
    problems.sort_by_key(|problem| problem.line);
    hints.sort_by_key(|hint| hint.line);
    if problems.is_empty() {
        Ok(hints)
    } else {
        Err(LoadError::Problems { problems, hints })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;
    use crate::settings::{Owner, Problem, from_text};

    const FILE: &str = "
[[template]]
name = 'secondary'
timezone = 'Europe/London'
token_env = 'TOKEN'
[[template.group]]
name = 'Years 7-11'
kind = 'students'
years = ['7']

[[school]]
id = 'A1'
template = 'secondary'
";

    fn settings() -> Settings {
        from_text(Path::new("/etc/markback.toml"), FILE)
            .unwrap()
            .settings
    }

    fn school(text: &str) -> Result<(School, Vec<Hint>), LoadError> {
        school_from_text(&settings(), &"A7".into(), "draft", text)
    }

    fn problems(text: &str) -> Vec<Problem> {
        match school(text) {
            Err(LoadError::Problems { problems, .. }) => problems,
            other => panic!("expected problems, not {other:?}"),
        }
    }

    #[test]
    fn a_school_is_read_with_its_template_and_paths_start_from_the_settings() {
        let (school, hints) =
            school("# by Ann\ntemplate = 'secondary'\ntoken_file = 'a7'\n").unwrap();
        assert_eq!(school.id.as_str(), "A7");
        assert_eq!(school.template.as_deref(), Some("secondary"));
        assert_eq!(school.timezone, chrono_tz::Europe::London);
        assert_eq!(school.token.unwrap().to_string(), "the file /etc/a7");
        assert!(school.groups.iter().any(|group| group.name == "Years 7-11"));
        assert_eq!(hints, []);
    }

    #[test]
    fn it_shares_the_template_s_groups() {
        let settings = settings();
        let of_file = settings.school(&"A1".into()).unwrap();
        let (own, _) =
            school_from_text(&settings, &"A7".into(), "draft", "template = 'secondary'").unwrap();
        assert!(Arc::ptr_eq(&own.groups, &of_file.groups));
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "template = 'secondary'\nwithout = ['coment']\n[[group]]\nname = 'G'\nkind = 'students'\n\
                    writeback.am.late = '25:00'\n[[group]]\nname = 'G'\nkind = 'students'\n";
        let told: Vec<_> = problems(text)
            .into_iter()
            .map(|problem| (problem.line.unwrap(), problem.key))
            .collect();
        assert!(told.contains(&(2, "without[0]".to_owned())), "{told:?}");
        assert!(
            told.contains(&(6, "group[0].writeback.am.late".to_owned())),
            "{told:?}"
        );
        assert!(told.contains(&(8, "group[1].name".to_owned())), "{told:?}");
    }

    #[rstest]
    #[case::other_id(
        "id = 'A8'\ntemplate = 'secondary'",
        "id",
        "these are the settings of A7"
    )]
    #[case::unknown_template("template = 'secundary'", "template", "there is no such template")]
    #[case::no_time_zone("token_env = 'T'", "timezone", "this is missing")]
    #[case::no_toml("template = ", "", "this is not valid TOML")]
    #[case::of_the_file(
        "listen = '[::]:80'\ntemplate = 'secondary'",
        "listen",
        "no such setting"
    )]
    fn what_is_wrong_is_told(#[case] text: &str, #[case] key: &str, #[case] message: &str) {
        let found = problems(text);
        assert_eq!(found[0].key, key);
        assert!(found[0].message.contains(message), "{}", found[0]);
        assert_eq!(&*found[0].file, "draft");
    }

    #[rstest]
    #[case::none("", "A7")]
    #[case::its_own("name = ' St Mary’s & All Saints '", "St Mary’s & All Saints")]
    fn a_school_is_called_by_its_name(#[case] name: &str, #[case] title: &str) {
        let (school, _) = school(&format!("{name}\ntemplate = 'secondary'")).unwrap();
        assert_eq!(school.title(), title);
    }

    #[rstest]
    #[case("name = ' '", "this is empty")]
    #[case("name = \"two\\nlines\"", "this has control characters")]
    fn a_name_is_one_line(#[case] name: &str, #[case] message: &str) {
        let found = problems(&format!("{name}\ntemplate = 'secondary'"));
        assert_eq!((&*found[0].key, &*found[0].message), ("name", message));
    }

    #[test]
    fn the_id_may_be_repeated() {
        assert!(school("id = 'A7'\ntemplate = 'secondary'").is_ok());
    }

    #[test]
    fn a_template_is_checked_alone() {
        let checked = |text| {
            template_from_text(&settings(), "primary", "draft", text)
                .map_err(|error| error.to_string())
        };
        assert_eq!(checked("timezone = 'Europe/London'"), Ok(Vec::new()));
        let wrong = checked("timezone = 'Europe/Lundon'").unwrap_err();
        assert!(wrong.contains("did you mean \"Europe/London\"?"), "{wrong}");
    }

    #[test]
    fn the_version_follows_what_is_said_and_not_how() {
        let version = |text: &str| {
            let settings = from_text(Path::new("markback.toml"), text)
                .unwrap()
                .settings;
            settings.schools[0].version
        };
        let first = version(FILE);
        assert_eq!(first.owner(), Owner::File);
        assert_eq!(first, version(&format!("# a note\n{FILE}")));
        assert_ne!(
            first,
            version(&FILE.replace("years = ['7']", "years = ['8']"))
        );
        assert_ne!(
            first,
            version(&FILE.replace("id = 'A1'", "id = 'A1'\nmis = 'SIMS'"))
        );
    }
}
