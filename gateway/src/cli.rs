//! The command line: one file a command. Output goes to standard output, errors and logs to
//! standard error. A command that asks the journal is a client of the REST interface.

mod audit;
mod check;
mod client;
mod compile;
mod demo;
mod events;
mod mode;
mod pause;
mod plugin;
mod queue;
mod replay;
mod revert;
mod rules;
mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;
use crate::dispatch::{Allocation, Compiler, Engine};
use crate::model::text::inert;
use crate::telemetry::{self, LogFormat};

/// Turns security events into reviewed Git commits.
#[derive(Debug, Parser)]
#[command(name = "riposte", version, propagate_version = true)]
pub struct Cli {
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value = "text", env = "RIPOSTE_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Serve),
    /// Show an event become a commit, on a repository made on the spot.
    Demo(demo::Demo),
    /// Write, test and measure plugins.
    Plugin(Box<plugin::Plugin>),
    /// Take over rules of other tools.
    Rules(rules::Rules),
    /// Ask the journal for events.
    Events(events::Events),
    /// Hold recorded events against today's plugins, or react to them anew.
    Replay(Box<replay::Replay>),
    /// Show what waits to be committed, and what for.
    Queue(queue::Queue),
    /// Take back what a reaction committed.
    Revert(revert::Revert),
    /// Let plugins commit, or no more, at once.
    Mode(mode::SwitchMode),
    /// Commit nothing more, for any plugin.
    Pause(pause::Pause),
    /// Go on after a pause.
    Resume(pause::Resume),
    /// Compute the journal's hash chain anew.
    Audit(audit::Audit),
    /// Find what is wrong with a configuration before a deployment does.
    Check(check::Check),
    /// Compile a plugin for the gateway that has started this process.
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// A command's end that is no success.
#[derive(Debug)]
pub enum CommandError {
    /// The command ran; the answer is no.
    Negative(String),
    /// The command could not run.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> ExitCode {
        let level = match &self.command {
            Command::Serve(_) => "info",
            // What a plugin says is part of the command's output.
            Command::Plugin(_) | Command::Rules(_) => "error",
            _ => "warn",
        };
        telemetry::log_to_stderr(self.log_format, level);
        let mut out = std::io::stdout();
        let result = match self.command {
            Command::Serve(command) => command.run().await,
            Command::Demo(command) => Box::pin(command.run(&mut out)).await,
            Command::Plugin(command) => Box::pin(command.run(&mut out)).await,
            Command::Rules(command) => command.run(&mut out),
            Command::Events(command) => command.run(&mut out).await,
            Command::Replay(command) => command.run(&mut out).await,
            Command::Queue(command) => command.run(&mut out).await,
            Command::Revert(command) => command.run(&mut out).await,
            Command::Mode(command) => command.run(&mut out).await,
            Command::Pause(command) => command.run(&mut out).await,
            Command::Resume(command) => command.run(&mut out).await,
            Command::Audit(command) => command.run(&mut out).await,
            Command::Check(command) => command.run(&mut out).await,
            Command::Compile(command) => command.run(&mut out),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(CommandError::Negative(reason)) => {
                let _stderr_is_gone = writeln!(std::io::stderr(), "riposte: {}", inert(&reason)).is_err();
                ExitCode::from(1)
            }
            Err(CommandError::Failed(error)) => {
                report(&*error);
                ExitCode::from(2)
            }
        }
    }
}

/// The engine of `serve`. Compiled code is kept in the user's cache folder, where there is one.
fn engine() -> Result<Engine, CommandError> {
    let of =
        |variable: &str| std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let caches = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let compiled = caches.map(|caches| caches.join("riposte").join("compiled"));
    Ok(Engine::new(Compiler::of_this_program(compiled.as_deref())?, Allocation::Pooled)?)
}

/// Says an error with its causes on standard error. Words of a plugin or a server can be among them.
pub fn report(error: &(dyn std::error::Error + 'static)) {
    let configuration = error.downcast_ref::<ConfigError>().map(ConfigError::reasons);
    for reason in configuration.unwrap_or_else(|| vec![crate::pipeline::chain(error)]) {
        let _stderr_is_gone = writeln!(std::io::stderr(), "riposte: {}", inert(&reason)).is_err();
    }
}
