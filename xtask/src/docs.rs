//! Pages made from the descriptors: the capability table in README.md, and `docs/adapters/`.

use std::{cmp::Reverse, fs, iter, path::PathBuf};

use anyhow::{Result, bail};

use crate::{
    catalogue::{Adapter, Place},
    tree::{Files, Tree, read},
};

/// What to run when a generated file is out of date.
pub(crate) const COMMAND: &str = "cargo xtask codegen";

const README: &str = "README.md";
const FOLDER: &str = "docs/adapters";
const OPENS: &str = "<!-- generated: capabilities -->";
const CLOSES: &str = "<!-- /generated -->";

/// All pages, as they should be.
pub(crate) fn files(tree: &Tree, adapters: &[Adapter]) -> Result<Files> {
    let mut sorted: Vec<&Adapter> = adapters.iter().collect();
    sorted.sort_by_key(|adapter| {
        (
            Reverse(adapter.capabilities.count()),
            adapter.name.to_lowercase(),
        )
    });

    let mut files = Files::new();
    files.insert(
        README.into(),
        with_table(&read(&tree.join(README))?, &sorted)?,
    );
    files.insert(PathBuf::from(FOLDER).join("README.md"), overview(&sorted));
    for adapter in sorted {
        let own = read(&tree.join("adapters").join(&adapter.id).join("README.md"))?;
        files.insert(
            PathBuf::from(FOLDER).join(format!("{}.md", adapter.id)),
            page(adapter, &own),
        );
    }
    Ok(files)
}

/// Pages that are there and belong to no adapter any more.
pub(crate) fn stale(tree: &Tree, files: &Files) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    if let Ok(folder) = fs::read_dir(tree.join(FOLDER)) {
        for entry in folder {
            let path = PathBuf::from(FOLDER).join(entry?.file_name());
            if !files.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// The README with the table between its markers renewed.
fn with_table(readme: &str, adapters: &[&Adapter]) -> Result<String> {
    let Some((before, rest)) = readme.split_once(OPENS) else {
        bail!(
            "README.md has no line `{OPENS}`; put it, and `{CLOSES}` after it, where the capability table belongs"
        );
    };
    let Some((_, after)) = rest.split_once(CLOSES) else {
        bail!("README.md has `{OPENS}` but no `{CLOSES}` after it; put it back");
    };
    Ok(format!(
        "{before}{OPENS}\n{}{CLOSES}{after}",
        table(adapters, FOLDER)
    ))
}

fn table(adapters: &[&Adapter], folder: &str) -> String {
    let mut text = String::from(
        "| MIS | id | session | comment | minutes late | early leaver |\n|---|---|---|---|---|---|\n",
    );
    for adapter in adapters {
        let page = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let can = adapter.capabilities;
        text.push_str(&format!(
            "| [{}]({page}{}.md) | `{}` | {} | {} | {} | {} |\n",
            adapter.name,
            adapter.id,
            adapter.id,
            session(can.session),
            yes(can.comment),
            yes(can.minutes_late),
            yes(can.early_leaver),
        ));
    }
    text
}

fn session(session: Place) -> &'static str {
    match session {
        Place::None => "x",
        Place::Session => "yes",
        Place::FirstLesson => "first lesson",
    }
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "x" }
}

fn overview(adapters: &[&Adapter]) -> String {
    format!(
        "<!-- Made by `{COMMAND}` from the adapters' descriptors; not to be edited by hand. -->\n\n\
         # Adapters\n\n\
         What each MIS keeps of a mark (x: not at all). At a school that grants less, less holds. All of them give people and\n\
         groups. An MIS that is not here gives them too, through a read-only adapter that fits every MIS.\n\n\
         {}\n\
         - session: the mark of a morning or afternoon; *first lesson*: it stands on the pupil's first lesson of that session\n\
         - comment: a comment is kept with the mark\n\
         - minutes late: whole minutes late are kept with the mark\n\
         - early leaver: a mark may be written at sign-out\n\n\
         What each claims has its source and date on its page. The requests in the adapters' fixtures are as Wonde's own clients send\n\
         them; most of the answers there are made up, for what a refusal or a writeback's status says is documented nowhere.\n\n\
         To add one, see [CONTRIBUTING.md](../../CONTRIBUTING.md).\n",
        table(adapters, "")
    )
}

fn page(adapter: &Adapter, own: &str) -> String {
    let Adapter {
        id,
        name,
        notes,
        source,
        capabilities: can,
        ..
    } = adapter;
    let names: Vec<_> = iter::once(name)
        .chain(&adapter.aliases)
        .map(|name| format!("`{name}`"))
        .collect();
    let marks = match can.session {
        Place::None => "are not written".to_owned(),
        Place::Session => "are written as the AM or PM mark itself".to_owned(),
        Place::FirstLesson => {
            "are written on the pupil's first lesson of the morning or afternoon".to_owned()
        }
    };
    let comment = match (can.comment, can.comment_max) {
        (true, Some(max)) => format!("yes, up to {max} characters"),
        (comment, _) => yes(comment).to_owned(),
    };
    format!(
        "<!-- Made by `{COMMAND}` from adapters/{id} (src/lib.rs and README.md); not to be edited by hand. -->\n\n\
         # {name}\n\n\
         Marks {marks}. {notes}\n\n\
         | | |\n|---|---|\n\
         | id | `{id}` |\n\
         | session | {} |\n\
         | comment | {comment} |\n\
         | minutes late | {} |\n\
         | early leaver | {} |\n\
         | people and groups | {} |\n\
         | names it answers to | {} |\n\
         | source | {}, as of {} |\n\n\
         {}\n",
        session(can.session),
        yes(can.minutes_late),
        yes(can.early_leaver),
        yes(can.roster),
        names.join(", "),
        source.what,
        source.date,
        body(own),
    )
}

/// An adapter's own page without its title, for the generated page has one.
fn body(own: &str) -> &str {
    let own = own.trim();
    let text = if own.starts_with("# ") {
        own.split_once('\n').map_or("", |(_, rest)| rest)
    } else {
        own
    };
    text.trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Capabilities, Source};

    fn adapter() -> Adapter {
        Adapter {
            id: "alpha".to_owned(),
            name: "Alpha".to_owned(),
            aliases: vec!["Alpha One".to_owned()],
            capabilities: Capabilities {
                session: Place::FirstLesson,
                comment: true,
                minutes_late: false,
                early_leaver: false,
                comment_max: Some(40),
                roster: true,
            },
            notes: "Mind the gap.".to_owned(),
            source: Source {
                what: "a page".to_owned(),
                date: "2026-11-23".to_owned(),
            },
        }
    }

    #[test]
    fn the_table_stands_between_the_markers_and_the_rest_stays() {
        let readme = format!("# Title\n\n{OPENS}\nold\n{CLOSES}\n\nmore\n");
        let text = with_table(&readme, &[&adapter()]).unwrap();
        assert!(
            text.starts_with("# Title\n\n") && text.ends_with("\n\nmore\n"),
            "{text}"
        );
        assert!(!text.contains("old"), "{text}");
        assert!(
            text.contains(
                "| [Alpha](docs/adapters/alpha.md) | `alpha` | first lesson | yes | x | x |\n"
            ),
            "{text}"
        );
        assert_eq!(with_table(&text, &[&adapter()]).unwrap(), text);
    }

    #[test]
    fn a_readme_without_markers_is_an_error_that_names_them() {
        for readme in ["# Title\n".to_owned(), format!("{OPENS}\n")] {
            let error = with_table(&readme, &[]).unwrap_err().to_string();
            assert!(
                error.contains("README.md") && error.contains("<!--"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_page_has_the_descriptor_and_the_adapters_own_words_under_one_title() {
        let text = page(&adapter(), "# Alpha\n\nAsk the office.\n");
        assert_eq!(text.matches("\n# ").count(), 1, "{text}");
        for word in [
            "Mind the gap.",
            "`Alpha One`",
            "up to 40 characters",
            "as of 2026-11-23",
            "Ask the office.",
        ] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
    }
}
