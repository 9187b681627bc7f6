//! `conformance`: builds the adapters' conformance tests, runs them, and collects their reports.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::{
    tidy,
    tree::{Tree, read},
    verdict::{Report, judge, shown},
};

/// The path of the report of a run.
const REPORT_VARIABLE: &str = "MARKBACK_CONFORMANCE_REPORT";

/// The arguments of `conformance`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Only this adapter; can be repeated.
    #[arg(long = "adapter", value_name = "ID")]
    adapters: Vec<String>,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Runs the suite; the exit code is 0 if all cases pass.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<ExitCode> {
    let ids = chosen(tree.adapters()?, &options.adapters)?;
    let programs = build(tree, &ids, options.adapters.is_empty())?;
    let mut lines = Vec::new();
    for id in &ids {
        eprint!("{id} ... ");
        let mut line = match programs.get(id) {
            Some(program) => judge(id, try_adapter(tree, id, program)),
            None => judge(
                id,
                Err(anyhow::anyhow!(
                    "adapters/{id} has no tests/conformance.rs that builds; see CONTRIBUTING.md"
                )),
            ),
        };
        line.wrong.extend(tidy::open_ends(tree, id)?);
        for wrong in &mut line.wrong {
            *wrong = wrong.replace(&format!("{}/", tree.root().display()), "");
        }
        eprintln!("{}", if line.wrong.is_empty() { "ok" } else { "RED" });
        lines.push(line);
    }
    match options.format {
        Format::Table => print!("{}", shown(&lines)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&lines)?),
    }
    let green = lines.iter().all(|line| line.wrong.is_empty());
    Ok(if green {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chosen(all: Vec<String>, wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|id| !all.contains(id)) {
        bail!(
            "there is no adapter `{unknown}`; there are: {}",
            all.join(", ")
        );
    }
    let ids: Vec<String> = if wanted.is_empty() {
        all
    } else {
        all.into_iter().filter(|id| wanted.contains(id)).collect()
    };
    if ids.is_empty() {
        bail!("there are no adapters to test");
    }
    Ok(ids)
}

/// Builds the test programs of these adapters, and returns their paths.
fn build(tree: &Tree, ids: &[String], all: bool) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        manifest_path: Option<PathBuf>,
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let mut cargo = tree.cargo();
    cargo.args([
        "test",
        "--quiet",
        "--no-run",
        "--message-format=json-render-diagnostics",
        "--test",
        "conformance",
    ]);
    if all {
        // As `cargo test --workspace` builds them, so that nothing is built twice.
        cargo.arg("--workspace");
    }
    for id in ids.iter().filter(|_| !all) {
        cargo.arg("--package").arg(format!("mis-{id}"));
    }
    let output = crate::tree::output(&mut cargo)
        .context("the conformance tests do not build; fix the errors above")?;
    let mut programs = BTreeMap::new();
    for line in output.lines() {
        let Ok(Message {
            manifest_path: Some(manifest),
            target: Some(target),
            executable: Some(program),
        }) = serde_json::from_str(line)
        else {
            continue;
        };
        let folder = manifest
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        if target.name == "conformance" {
            programs.insert(folder.to_string_lossy().into_owned(), program);
        }
    }
    Ok(programs)
}

/// Runs one adapter's test program, and reads its report.
fn try_adapter(tree: &Tree, id: &str, program: &Path) -> Result<Report> {
    let folder = tree.target()?.join("conformance");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{id}.json"));
    if path.exists() {
        fs::remove_file(&path)?;
    }
    let output = Command::new(program)
        .current_dir(tree.join("adapters").join(id))
        .env(REPORT_VARIABLE, &path)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !path.exists() {
        bail!(
            "the run wrote no report ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let report: Report = serde_json::from_str(&read(&path)?)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if !output.status.success() && report.cases.iter().all(|case| case.failure.is_none()) {
        bail!("the run failed ({}) although no case did", output.status);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_adapter_is_named() {
        let all = vec!["alpha".to_owned()];
        assert!(
            chosen(all.clone(), &["beta".to_owned()])
                .unwrap_err()
                .to_string()
                .contains("`beta`")
        );
        assert_eq!(chosen(all.clone(), &[]).unwrap(), all);
        assert!(chosen(Vec::new(), &[]).is_err());
    }
}
