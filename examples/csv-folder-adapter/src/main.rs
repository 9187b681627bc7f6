//! The `markback` program with this adapter.

use mis_csv_folder as _;

fn main() -> std::process::ExitCode {
    markback_cli::main()
}
