//! The settings that the README uses with the sandbox name the sandbox's schools.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::path::Path;

use wonde_sandbox::{Sandbox, SandboxOptions};

#[tokio::test]
async fn the_sandbox_settings_name_the_sandboxs_schools() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sandbox.toml");
    let settings = markback::settings::load(&path).unwrap().settings;
    let options = SandboxOptions {
        seed: 7,
        schools: 3,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let theirs: Vec<_> = sandbox
        .schools()
        .into_iter()
        .map(|school| school.id)
        .collect();
    let ours: Vec<_> = settings
        .schools
        .iter()
        .map(|school| school.id.as_str())
        .collect();
    assert_eq!(ours, theirs);
}
