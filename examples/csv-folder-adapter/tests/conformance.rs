//! Runs the conformance cases for any adapter on folders of CSV files.

use std::fs;

use mis_conformance::any::{self, School};
use mis_core::{ConnectContext, chrono_tz::Europe::London};
use serde_json::json;

fn main() -> std::process::ExitCode {
    any::run(&mis_csv_folder::DESCRIPTOR, || {
        let folder = tempfile::tempdir()?;
        for (name, text) in [
            (
                "students.csv",
                "id,forename,surname,year,registration,upn\n\
                 S1,Ada,Lovelace,7,7A,A123456789012\n\
                 S2,Ben,Barker,8,8B,\n",
            ),
            ("groups.csv", "id,type,name\nG1,YEAR,7\nG2,YEAR,8\n"),
            (
                "codes.csv",
                "code,description\n/,Present\nL,Late\nM,Medical\n",
            ),
        ] {
            fs::write(folder.path().join(name), text)?;
        }
        let mut context = ConnectContext::new("S1");
        context.timezone = Some(London);
        context.link = json!({"folder": folder.path()});
        Ok(School::new(context, ["S1", "S2"], ["L", "M"])
            .hiding(["Lovelace", "Barker"])
            .keeping(folder))
    })
}
