//! `model probe`: the numbers of one batch, in the layout of the reference fixtures, so that anyone can hold the
//! trainer against PEFT on a model of their own.

use std::path::PathBuf;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_contract::artifact::Output;
use hilora_hub::{Hub, ModelFiles};
use hilora_model::{Adapter, BasePrecision, ComputeType, DeviceChoice, Model, ProbeBatch, probe};
use hilora_run::{load_base, model_folder};

/// Arguments of `model probe`.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeCommand {
    /// The model's folder in the Hugging Face layout, or a model of the hub as owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// The adapter's folder in PEFT's layout
    #[arg(long)]
    pub adapter: PathBuf,
    /// A safetensors file with input_ids, labels and attention_mask, each [B, T] i64
    #[arg(long)]
    pub batch: PathBuf,
    /// The safetensors file to write: logits, loss and grad.<PEFT key>
    #[arg(long)]
    pub output: PathBuf,
    /// How the base is held: f32, bf16 or nf4; one that is in 4 bits already stays as it is with nf4
    #[arg(long, value_enum, default_value = "f32")]
    pub base: ProbeBase,
    /// The type of activations and of the factors of products: f32 or bf16
    #[arg(long, value_enum, default_value = "f32")]
    pub compute: ProbeCompute,
    /// Where it is computed: auto, cpu or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
}

/// The type of activations, as spelled on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum ProbeCompute {
    /// 32 bits.
    F32,
    /// 16 bits, with sums in 32.
    Bf16,
}

/// The base's precision, as spelled on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum ProbeBase {
    /// 32 bits.
    F32,
    /// 16 bits.
    Bf16,
    /// 4 bits with double quantization.
    Nf4,
}

impl ProbeCommand {
    /// Computes and writes the numbers.
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let precision = match self.base {
            ProbeBase::F32 => BasePrecision::F32,
            ProbeBase::Bf16 => BasePrecision::Bf16,
            ProbeBase::Nf4 => BasePrecision::Nf4,
        };
        // The place is checked before the work; what is begun here is dropped.
        drop(Output::create(&self.output, &[&self.batch, &self.model, &self.adapter])?);
        let batch = ProbeBatch::load(&self.batch)?;
        let compute = match self.compute {
            ProbeCompute::F32 => ComputeType::F32,
            ProbeCompute::Bf16 => ComputeType::Bf16,
        };
        let observer = console.observer()?;
        let folder = model_folder(&self.model, ModelFiles::All, &Hub::from_env(), &observer)?;
        let device = self.device.choose()?;
        let model = load_base(&observer, |on_weight| Model::load_on(&folder, precision, device, on_weight))?
            .computing_in(compute)?;
        let adapter = Adapter::load(&self.adapter)?.to_device(model.device())?;
        probe(&model, &adapter, &batch)?.save(&self.output, &batch)?;
        Ok(ExitStatus::Done)
    }
}
