//! The `riposte` program: arguments, telemetry, one command, an exit status.
//!
//! Exit status 0: done. 1: the command ran and the answer is no (a check failed, no commit was
//! made). 2: the arguments, the configuration or the environment do not allow to run it.

use std::process::ExitCode;

use clap::Parser;
use riposte::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let status = runtime.block_on(cli.run());
            // What must end has ended; a fetch from a server that is silent need not.
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            riposte::cli::report(&error);
            ExitCode::from(2)
        }
    }
}
