//! The `hilora-host` command: parses, runs, prints the error chain, picks the exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use hilora_host::{Cli, catch_defects};
use hilora_model::ConfiningAllocator;

/// Training allocates and frees the same large blocks at every step; this allocator keeps their pages. Around it stands the
/// bound for what a base's chat template may take.
#[global_allocator]
static ALLOCATOR: ConfiningAllocator<mimalloc::MiMalloc> = ConfiningAllocator(mimalloc::MiMalloc);

fn main() -> ExitCode {
    catch_defects(run)
}

fn run() -> ExitCode {
    match Cli::parse().execute() {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_silent() {
                // Where even standard error is closed, the exit code says what there is to say.
                let _unread = writeln!(std::io::stderr(), "{failure}");
            }
            failure.status().into()
        }
    }
}
