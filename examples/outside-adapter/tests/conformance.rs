//! Holds the adapter against all that an adapter must hold to.

fn main() -> std::process::ExitCode {
    mis_conformance::run(
        &mis_chalkboard::DESCRIPTOR,
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"),
    )
}
