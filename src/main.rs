//! The `hikagen` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hikagen::cli::run(std::env::args_os())
}
