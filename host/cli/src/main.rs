//! The `hilora-host` command: parses, runs, prints the error chain, picks the exit code.

use std::process::ExitCode;

use clap::Parser;
use hilora_host::{Cli, Failure};

/// Training allocates and frees the same large blocks at every step; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            let failure = Failure::of(&error);
            eprintln!("{failure}");
            failure.code.into()
        }
    }
}
