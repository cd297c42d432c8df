//! `hilora-host model quantize`: a base in NF4 on disk, which is mapped instead of quantized at every start.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::stages::interrupted;
use hilora_hub::{Hub, ModelFiles};
use hilora_model::quantize_checkpoint;
use hilora_run::{RunObserver, model_folder};

/// Store a base in 4 bits (NF4, double quantization) as bitsandbytes does, so that it is there in seconds.
#[derive(Debug, Args)]
pub(super) struct QuantizeCommand {
    /// The base's folder in the Hugging Face layout, or a model of the hub as owner/name; unquantized
    base: PathBuf,
    /// The folder to make; it must not exist or be empty
    #[arg(long)]
    output: PathBuf,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl QuantizeCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let observer = console.observer()?;
        let base = model_folder(&self.base, ModelFiles::All, &Hub::from_env(), &observer)?;
        let bar = console.progress().bar("quantize", 0, "tensors");
        let on_tensor = |done: usize, total: usize| {
            bar.set_total(total as u64);
            bar.set_position(done as u64);
            if observer.stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let quantized = quantize_checkpoint(&base, &self.output, self.dry_run, &on_tensor)?;
        bar.finish();
        let Some(quantized) = quantized else { return Ok(interrupted(observer.signal())) };
        let verb = if quantized.written { "quantized" } else { "would quantize" };
        let text = format!(
            "{verb} {} matrices of {} ({} tensors as they are, {} files): {}",
            quantized.tensors_replaced,
            self.base.display(),
            quantized.tensors_copied,
            quantized.shards,
            self.output.display()
        );
        console.result(&quantized, &text)?;
        Ok(ExitStatus::Done)
    }
}
