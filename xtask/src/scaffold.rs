//! `new-adapter`: creates a crate that compiles, and whose conformance run lists the remaining work.

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    catalogue::Place,
    codegen, own_ways,
    tree::{Tree, write},
};

/// The arguments of `new-adapter`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// The adapter's id, and the name of its folder: lower-case letters and digits, a letter first.
    id: String,
    /// The usual name of the MIS.
    #[arg(long)]
    name: String,
    /// The place at which the MIS stores the mark of a session.
    #[arg(long)]
    session: Place,
    /// The MIS stores a comment with a mark.
    #[arg(long)]
    comment: bool,
    /// The longest comment that the MIS stores, in characters; longer ones are dropped. Omit it if no limit is known.
    #[arg(long, value_name = "CHARACTERS", requires = "comment", value_parser = clap::value_parser!(u16).range(1..))]
    comment_max: Option<u16>,
    /// The MIS stores whole minutes late with a mark.
    #[arg(long)]
    minutes_late: bool,
    /// The MIS accepts marks for sign-outs.
    #[arg(long)]
    early_leaver: bool,
    /// The adapter implements `MisAdapter` itself, for an MIS with different behaviour.
    #[arg(long)]
    own_ways: bool,
    /// Another name that Wonde may use for the MIS; can be repeated.
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// The source of these capabilities: a page, a vendor, a school.
    #[arg(
        long,
        value_name = "WHO",
        default_value = "TO DO: the source of these capabilities"
    )]
    source: String,
}

/// Reserved ids: the generic read-only adapter, and the umbrella's own features.
const TAKEN: [&str; 5] = ["generic", "all", "default", "core", "wonde"];

/// Writes the crate and the files generated from it.
pub(crate) fn run(tree: &Tree, plan: &Plan) -> Result<()> {
    check(tree, plan)?;
    for (path, text) in files(plan, &today()) {
        let path = format!("adapters/{}/{path}", plan.id);
        write(&tree.join(&path), &text)?;
        println!("wrote {path}");
    }
    codegen::write_adapters(tree)?;
    format(tree, &plan.id);
    println!(
        "\nnext: `cargo xtask conformance --adapter {}` lists the remaining work; CONTRIBUTING.md has the steps",
        plan.id
    );
    Ok(())
}

fn check(tree: &Tree, plan: &Plan) -> Result<()> {
    let id = &plan.id;
    let fits = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !fits {
        bail!(
            "`{id}` is not a valid id: use lower-case letters and digits, a letter first, such as `sims`"
        );
    }
    if TAKEN.contains(&id.as_str()) {
        bail!("`{id}` is reserved; choose another id");
    }
    if tree.join("adapters").join(id).exists() {
        bail!("adapters/{id} already exists; edit it, or choose another id");
    }
    let more = plan.comment || plan.minutes_late || plan.early_leaver;
    if plan.session == Place::None && more {
        bail!(
            "an MIS that does not accept marks stores nothing with them; omit the other flags, or set `--session`"
        );
    }
    if plan.session == Place::None && plan.own_ways {
        bail!("an MIS that does not accept marks needs no code to write them; omit `--own-ways`");
    }
    Ok(())
}

/// Formats the crate, which long names may need. Missing rustfmt is ignored.
fn format(tree: &Tree, id: &str) {
    let mut cargo = tree.cargo();
    let _ = cargo
        .arg("fmt")
        .arg("--package")
        .arg(format!("mis-{id}"))
        .status();
}

fn today() -> String {
    chrono::Utc::now().date_naive().to_string()
}

fn files(plan: &Plan, today: &str) -> [(&'static str, String); 4] {
    [
        ("Cargo.toml", manifest(plan)),
        ("src/lib.rs", source(plan, today)),
        ("tests/conformance.rs", suite(plan)),
        ("README.md", page(plan)),
    ]
}

fn manifest(plan: &Plan) -> String {
    let what = match plan.session {
        Place::None => "people and groups only",
        Place::Session => "session marks",
        Place::FirstLesson => "marks on the first lesson of each session",
    };
    let description = toml::Value::from(format!("{} for Markback: {what}.", plan.name));
    format!(
        r#"[package]
name = "mis-{id}"
description = {description}
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
mis-wonde.workspace = true

[dev-dependencies]
mis-conformance.workspace = true

[[test]]
name = "conformance"
harness = false
"#,
        id = plan.id,
    )
}

fn source(plan: &Plan, today: &str) -> String {
    let (what, strategy) = match plan.session {
        Place::Session => ("AM and PM marks are written", "session_marks"),
        Place::FirstLesson => (
            "the mark of a session is written on the student's first lesson of it",
            "first_lesson_marks",
        ),
        Place::None => (
            "people, groups and registers are read; marks are not written",
            "read_only",
        ),
    };
    let (uses, connect, body) = if plan.own_ways {
        (
            own_ways::uses(plan.session, capabilities(plan).contains("Ability")),
            own_ways::connect(plan.session).to_owned(),
            own_ways::body(plan.session),
        )
    } else {
        let uses = match plan.session {
            Place::None => "",
            _ if capabilities(plan).contains("Ability") => "Ability, Capabilities, ",
            _ => "Capabilities, ",
        };
        (
            format!("use mis_wonde::{{{uses}Descriptor, register_adapter, {strategy}}};\n"),
            format!("{strategy}(&DESCRIPTOR, context)"),
            "\nregister_adapter!(DESCRIPTOR);\n".to_owned(),
        )
    };
    let aliases = match plan.aliases.as_slice() {
        [] => String::new(),
        aliases => format!(".with_aliases(&{aliases:?})\n"),
    };
    format!(
        r#"//! {name}: {what}.

{uses}
/// {name}.
pub static DESCRIPTOR: Descriptor = Descriptor::new("{id}", {name:?}, |context| {{
    {connect}
}})
{aliases}{capabilities}.with_notes("TO DO: what schools and support engineers should know")
.with_source({source:?}, "{today}");
{body}"#,
        name = plan.name,
        id = plan.id,
        capabilities = capabilities(plan),
        source = plan.source,
    )
}

/// The call that declares the capabilities; none for an MIS that does not accept marks.
fn capabilities(plan: &Plan) -> String {
    let marks = match plan.session {
        Place::None => return String::new(),
        Place::Session => "SESSION_MARKS",
        Place::FirstLesson => "FIRST_LESSON_MARKS",
    };
    let abilities: String = [
        (plan.comment, "Comment"),
        (plan.minutes_late, "MinutesLate"),
        (plan.early_leaver, "EarlyLeaver"),
    ]
    .into_iter()
    .filter(|(has, _)| *has)
    .map(|(_, ability)| format!(".with(Ability::{ability})"))
    .collect();
    let limit = plan
        .comment_max
        .map_or_else(String::new, |max| format!(".with_comment_max({max})"));
    format!(".with_capabilities(Capabilities::{marks}{abilities}{limit})\n")
}

fn page(plan: &Plan) -> String {
    format!(
        "# {}\n\nTO DO: the special cases of this MIS, for a school or a support engineer, in a few sentences.\n",
        plan.name
    )
}
fn suite(plan: &Plan) -> String {
    format!(
        r#"//! Runs the conformance cases on the adapter.

fn main() -> std::process::ExitCode {{
    mis_conformance::run(
        &mis_{}::DESCRIPTOR,
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"),
    )
}}
"#,
        plan.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: &str, session: Place) -> Plan {
        Plan {
            id: id.to_owned(),
            name: "Alpha \"One\"".to_owned(),
            session,
            comment: session != Place::None,
            comment_max: (session != Place::None).then_some(60),
            minutes_late: false,
            early_leaver: false,
            own_ways: false,
            aliases: vec!["Alpha 1".to_owned()],
            source: "a page".to_owned(),
        }
    }

    #[test]
    fn an_invalid_plan_is_rejected_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::at(folder.path());
        write(&tree.join("adapters/there/Cargo.toml"), "").unwrap();
        for (id, word) in [
            ("Alpha", "lower-case"),
            ("1a", "letter first"),
            ("", "not a valid id"),
            ("generic", "reserved"),
            ("there", "already exists"),
        ] {
            let error = check(&tree, &plan(id, Place::Session))
                .unwrap_err()
                .to_string();
            assert!(error.contains(word), "{id}: {error}");
        }
        let idle = Plan {
            comment: true,
            ..plan("alpha", Place::None)
        };
        assert!(
            check(&tree, &idle)
                .unwrap_err()
                .to_string()
                .contains("--session")
        );
        check(&tree, &plan("alpha", Place::FirstLesson)).unwrap();
    }

    #[test]
    fn the_scaffolded_crate_matches_the_plan() {
        let [(_, manifest), (_, source), (_, suite), (_, page)] =
            files(&plan("alpha", Place::FirstLesson), "2026-11-23");
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("mis-alpha"));
        for word in [
            "Capabilities::FIRST_LESSON_MARKS.with(Ability::Comment).with_comment_max(60)",
            "\"Alpha \\\"One\\\"\"",
            "first_lesson_marks",
            "\"Alpha 1\"",
        ] {
            assert!(source.contains(word), "{word} is missing in\n{source}");
        }
        assert!(suite.contains("mis_alpha::DESCRIPTOR"));
        assert!(page.starts_with("# Alpha"));
        let own = Plan {
            own_ways: true,
            ..plan("alpha", Place::FirstLesson)
        };
        let [_, (_, source), ..] = files(&own, "2026-11-23");
        assert!(
            source.contains("impl MisAdapter for Adapter") && source.contains("&self.timetable"),
            "{source}"
        );
        let [_, (_, source), ..] = files(&plan("alpha", Place::None), "2026-11-23");
        assert!(
            source.contains("read_only") && !source.contains("Capabilities"),
            "{source}"
        );
    }
}
