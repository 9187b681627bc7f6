//! Runs the conformance cases on the adapter.

fn main() -> std::process::ExitCode {
    mis_conformance::run(
        &mis_cloudschool::DESCRIPTOR,
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"),
    )
}
