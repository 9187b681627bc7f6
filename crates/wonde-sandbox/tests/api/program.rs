//! The program prints its addresses and stops on a signal.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wonde-sandbox"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_first_line_of_json_contains_everything_a_script_needs() {
    let args = [
        "--format",
        "json",
        "--schools",
        "11",
        "--seed",
        "3",
        "--date",
        "2026-11-23",
        "--speed",
        "0",
    ];
    let mut child = program(&args).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    let start: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(start["schools"].as_array().unwrap().len(), 11);
    assert_eq!(start["now"], "2026-11-23T07:00:00Z");
    let url = format!("{}/schools", start["base_url"].as_str().unwrap());
    let http = reqwest::Client::new();
    let answer = http
        .get(url)
        .bearer_auth(start["token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(child.wait().await.unwrap().success(), "it ends in peace");
}

#[tokio::test]
async fn invalid_arguments_are_reported() {
    for (args, wanted) in [
        (["--write-delay", "soon"], "2s"),
        (["--date", "someday"], "2026-11-23"),
        (["--schools", "0"], "schools"),
        (["--fault-share", "2"], "0 to 1"),
    ] {
        let output = program(&args).output().await.unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}");
        assert!(message.contains(wanted), "{args:?}: {message}");
    }
}
