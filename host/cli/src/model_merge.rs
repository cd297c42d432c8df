//! `hilora-host model merge`: an adapter into the weights of a base.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::stages::interrupted;
use hilora_hub::{Hub, ModelFiles};
use hilora_model::merge;
use hilora_run::{RunObserver, model_folder};

/// Merge an adapter into a base: a model that needs no adapter beside it.
#[derive(Debug, Args)]
pub(super) struct MergeCommand {
    /// The base's folder in the Hugging Face layout, or a model of the hub as owner/name; if it is quantized, the merged
    /// model is in bf16
    #[arg(long)]
    base: PathBuf,
    /// The adapter's folder in PEFT's layout
    #[arg(long)]
    adapter: PathBuf,
    /// The folder to make; it must not exist or be empty
    #[arg(long)]
    output: PathBuf,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl MergeCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let observer = console.observer()?;
        let base = model_folder(&self.base, ModelFiles::All, &Hub::from_env(), &observer)?;
        let bar = console.progress().bar("merge", 0, "tensors");
        let on_tensor = |done: usize, total: usize| {
            bar.set_total(total as u64);
            bar.set_position(done as u64);
            if observer.stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let merged = merge(&base, &self.adapter, &self.output, self.dry_run, &on_tensor)?;
        bar.finish();
        let Some(merged) = merged else { return Ok(interrupted(observer.signal())) };
        let verb = if merged.written { "merged" } else { "would merge" };
        let text = format!(
            "{verb} {} updates into {} ({} tensors as they are, {} files): {}",
            merged.tensors_replaced,
            self.base.display(),
            merged.tensors_copied,
            merged.shards,
            self.output.display()
        );
        console.result(&merged, &text)?;
        Ok(ExitStatus::Done)
    }
}
