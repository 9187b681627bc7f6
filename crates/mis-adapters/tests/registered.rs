//! Every folder below `adapters/` is an adapter that a host finds, and nothing else is.
#![cfg(feature = "all")]

use std::{fs, path::Path};

use mis_adapters::mis_core::Registry;

#[test]
fn the_registry_has_the_adapters_of_the_folders() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../adapters");
    let mut folders: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let registered: Vec<_> = Registry::discover()
        .unwrap()
        .iter()
        .map(|adapter| adapter.id)
        .collect();
    assert_eq!(
        registered, folders,
        "a folder and its adapter's id must have the same name; for a folder that is missing here run `cargo xtask codegen`"
    );
}
