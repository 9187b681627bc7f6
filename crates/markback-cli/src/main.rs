//! The `markback` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    markback_cli::main()
}
