//! The settings that the README tries the service with are for the schools that the sandbox then has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

use std::path::Path;

use wonde_sandbox::{Sandbox, SandboxOptions};

#[tokio::test]
async fn the_settings_for_the_sandbox_are_for_its_schools() {
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
