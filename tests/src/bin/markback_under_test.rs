//! The `markback` program once more, as part of this package: so that cargo builds it for the tests and tells them where it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    markback_cli::main()
}
