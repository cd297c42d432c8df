//! `hilora-host model inspect`: what a base or an adapter is, from its configuration and the headers of its files.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_hub::{Hub, ModelFiles};
use hilora_model::{AdapterDescription, BaseDescription, Description, Tensors};
use hilora_run::model_folder;

/// Tell what a base (quantized or not) or an adapter is.
#[derive(Debug, Args)]
pub(super) struct InspectCommand {
    /// The folder of a model in the Hugging Face layout or of an adapter in PEFT's, or a model of the hub as owner/name
    folder: PathBuf,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

impl InspectCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let observer = console.observer()?;
        let folder = model_folder(&self.folder, ModelFiles::All, &Hub::from_env(), &observer)?;
        let mut description = Description::of(&folder)?;
        let (text, tensors) = match &mut description {
            Description::Base(base) => (base_text(base, self.tensors), &mut base.tensors),
            Description::Adapter(adapter) => (adapter_text(adapter, self.tensors), &mut adapter.tensors),
        };
        if !self.tensors {
            tensors.listing.clear();
        }
        console.result(&description, &text)?;
        Ok(ExitStatus::Done)
    }
}

fn base_text(base: &BaseDescription, listing: bool) -> String {
    let config = &base.config;
    let mut text = String::new();
    push_line(&mut text, &format!("base          {}", base.folder.display()));
    push_line(&mut text, &format!("architecture  {}", config.model_type));
    push_line(&mut text, &format!("parameters    {}", grouped(base.parameters)));
    push_line(
        &mut text,
        &format!(
            "shape         {} blocks of {}, feed-forward {}, {} heads and {} for keys of {}, vocabulary {}{}",
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.vocab_size,
            if config.tie_word_embeddings { ", tied embeddings" } else { "" }
        ),
    );
    push_line(&mut text, &format!("quantization  {}", config.quantization.name()));
    let memory: Vec<String> = base.memory_bytes.iter().map(|(how, size)| format!("{} ({how})", bytes(*size))).collect();
    push_line(&mut text, &format!("in memory     {}", memory.join(", ")));
    tensors_text(&base.tensors, listing, &mut text);
    text
}

fn adapter_text(adapter: &AdapterDescription, listing: bool) -> String {
    let mut text = String::new();
    push_line(&mut text, &format!("adapter       {}", adapter.folder.display()));
    let targets = adapter.target_modules.join(" ");
    push_line(&mut text, &format!("targets       {targets} of {} blocks", adapter.layers));
    let kind = match (adapter.use_dora, adapter.use_rslora) {
        (false, false) => "LoRA",
        (false, true) => "rsLoRA",
        (true, false) => "DoRA",
        (true, true) => "DoRA with the scale of rsLoRA",
    };
    let kind = if adapter.lora_bias { format!("{kind} with the bias of B") } else { kind.to_owned() };
    push_line(&mut text, &format!("update        {kind}, rank {}, scale {}", adapter.rank, adapter.scale));
    if !adapter.modules_to_save.is_empty() {
        let saved: Vec<String> = adapter.modules_to_save.iter().map(ToString::to_string).collect();
        push_line(&mut text, &format!("saved         {}", saved.join(" ")));
    }
    push_line(&mut text, &format!("parameters    {}", grouped(adapter.parameters)));
    tensors_text(&adapter.tensors, listing, &mut text);
    text
}

fn tensors_text(tensors: &Tensors, listing: bool, text: &mut String) {
    let totals: Vec<String> = tensors
        .by_type
        .iter()
        .map(|(dtype, total)| format!("{} {dtype} ({})", total.tensors, bytes(total.bytes)))
        .collect();
    push_line(text, &format!("tensors       {}", totals.join(", ")));
    if listing {
        let width = tensors.listing.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        for tensor in &tensors.listing {
            push_line(
                text,
                &format!("  {:width$}  {:5} {:?}  {}", tensor.name, tensor.dtype, tensor.shape, tensor.file),
            );
        }
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A number with a space between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let lead = digits.len() % 3;
    let (first, rest) = digits.split_at(lead);
    let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let first = (!first.is_empty()).then(|| first.to_owned());
    first.into_iter().chain(groups).collect::<Vec<_>>().join(" ")
}

fn bytes(count: usize) -> String {
    indicatif::HumanBytes(count as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 999, 1_000, 32_763_876_352].map(grouped), ["7", "999", "1 000", "32 763 876 352"]);
    }
}
