//! The command line: a file per command.

pub mod check;
pub mod demo;
pub mod explain;
pub mod keygen;
pub mod run;
pub mod sign;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An authentication gateway for messaging APIs.
#[derive(Debug, Parser)]
#[command(name = "chatgate", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run(run::Args),
    /// Print every mistake of a configuration, with its place, and what it means.
    Check {
        /// The configuration.
        config: PathBuf,
    },
    /// Say what would be done with a request and an answer, and why.
    Explain(explain::Args),
    /// Make keys.
    Keygen(keygen::Args),
    /// Make a valid return of a login page, for trying things out.
    Sign(sign::Args),
    /// Play with a gateway, a sample bot and a sample website.
    Demo(demo::Args),
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Check { config } => check::run(&config),
        Command::Explain(args) => explain::run(args),
        Command::Keygen(args) => exit(keygen::run(&args)),
        Command::Sign(args) => exit(sign::run(&args)),
        Command::Demo(args) => exit(demo::run(&args)),
    }
}

/// Prints to standard output. Whoever closed it (`| head`) has seen enough.
fn say(text: &str) {
    if let Err(error) = std::io::stdout().write_all(text.as_bytes())
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: {error}");
    }
}

fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
