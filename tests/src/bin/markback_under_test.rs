//! The `markback` program as part of this package, so that cargo builds it for the tests and sets its path.

use std::process::ExitCode;

fn main() -> ExitCode {
    markback_cli::main()
}
