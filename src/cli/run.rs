//! `chatgate run`: serves.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config;
use crate::gateway;
use crate::telemetry;
use crate::time::Clock;

/// `chatgate run`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration. SIGHUP reads it again; SIGTERM drains and ends.
    config: PathBuf,
}

/// Serves until it is told to end.
pub fn run(args: Args) -> ExitCode {
    let (config, warnings) = match config::load(&args.config) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            return ExitCode::FAILURE;
        }
    };
    telemetry::init(config.log.json, config.log.level);
    for warning in warnings {
        tracing::warn!(place = %warning.whereabouts(), "{}", warning.message);
    }
    let addresses = config.listeners.iter().map(|listener| listener.address);
    for address in addresses.chain(config.admin) {
        // Found out here, it can be said in words.
        if let Err(error) = TcpListener::bind(address) {
            eprintln!("error: cannot listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    }
    for listener in &config.listeners {
        let tls = listener.tls.is_some();
        tracing::info!(address = %listener.address, tls, "listening");
    }
    if let Some(address) = config.admin {
        tracing::info!(%address, "listening for the operator: health and metrics");
    }
    let options = gateway::Options {
        config,
        source: Some(args.config),
        clock: Clock::system(),
        stop: None,
    };
    match gateway::serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
