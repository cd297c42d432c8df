//! The device that computes: the CPU, or one GPU of NVIDIA's if the program was built for it.
//!
//! A run says which it wants (`training.device`); what is there decides. Nothing falls back in silence: who asks for CUDA
//! and cannot have it gets an error.

use std::str::FromStr;
use std::sync::OnceLock;

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelError;

/// What a run asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA if the program was built with it and a device is there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error if there is none.
    Cuda,
}

/// What a run gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDevice {
    /// The CPU.
    #[default]
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// Why there is no CUDA device, and what would mend it.
struct NoCuda {
    problem: String,
    hint: &'static str,
}

const OTHER_PROGRAM: &str =
    "`cargo xtask cuda` builds one that has it; `device: auto` takes the CPU if there is no CUDA";
const OTHER_DEVICE: &str = "`nvidia-smi` shows what the driver sees; `device: cpu` needs none";

impl DeviceChoice {
    /// Whether this is the default.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// The device of a run on this machine.
    pub fn choose(self) -> Result<ComputeDevice, ModelError> {
        let there = |device: &Result<Device, NoCuda>| device.is_ok();
        match self {
            Self::Cpu => Ok(ComputeDevice::Cpu),
            Self::Auto if there(cuda()) => Ok(ComputeDevice::Cuda),
            Self::Auto => Ok(ComputeDevice::Cpu),
            Self::Cuda => ComputeDevice::Cuda.open().map(|_| ComputeDevice::Cuda),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("expected auto, cpu or cuda, got `{text}`")),
        }
    }
}

impl ComputeDevice {
    /// The device as candle knows it.
    pub(crate) fn open(self) -> Result<Device, ModelError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => match cuda() {
                Ok(device) => Ok(device.clone()),
                Err(NoCuda { problem, hint }) => {
                    Err(ModelError::input_with_hint(format!("device cuda: {problem}"), *hint))
                }
            },
        }
    }

    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// The first CUDA device, opened once: candle's tensors belong to the very device that made them.
fn cuda() -> &'static Result<Device, NoCuda> {
    static CUDA: OnceLock<Result<Device, NoCuda>> = OnceLock::new();
    CUDA.get_or_init(|| {
        if !candle_core::utils::cuda_is_available() {
            return Err(NoCuda { problem: "this program was built without CUDA".to_owned(), hint: OTHER_PROGRAM });
        }
        // Further lines would be candle's backtrace.
        let first_line = |error: candle_core::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
        Device::new_cuda(0).map_err(|error| NoCuda { problem: first_line(error), hint: OTHER_DEVICE })
    })
}

#[cfg(test)]
mod tests {
    //! A model on another device computes by composites. They run on the CPU too, where they are held against the bodies
    //! here, in whole passes.

    use std::path::Path;

    use candle_core::Tensor;

    use super::*;
    use crate::decoded::decoded;
    use crate::small_model::{perturbed, small_lora};
    use crate::{
        Adapter, BasePrecision, Checkpointing, ComputeType, DropoutKey, Gradients, LoraConfig, Model, PackedDocuments,
        ProbeBatch, TrainingPass, Weights,
    };
    use hilora_contract::fault::{Blame, Fault};
    use hilora_kernels::neftune::Noise;
    use hilora_kernels::place::with_composites;

    /// Whether composites are to be held against the bodies on a CUDA device, too; there must be one then.
    fn cuda_is_tested() -> bool {
        std::env::var_os("HILORA_TEST_CUDA").is_some()
    }

    fn fixture(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle").join(path)
    }

    /// The model in the form in which composites read it.
    fn uploaded(mut model: Model) -> Result<Model, ModelError> {
        for linear in model.weights.blocks.iter_mut().flat_map(|block| block.linears.iter_mut().flatten()) {
            linear.weight = linear.weight.uploaded(&Device::Cpu)?;
        }
        Ok(model)
    }

    /// An adapter with dropout whose update is not zero.
    fn adapter(model: &Model) -> Result<Adapter, ModelError> {
        perturbed(model, &LoraConfig { r: 3, lora_dropout: 0.1, ..small_lora() })
    }

    /// The loss and the gradients of a batch, by name.
    type Numbers = (f64, Vec<(String, Vec<f32>)>);

    fn numbers(
        model: &Model,
        adapter: Option<&Adapter>,
        documents: &PackedDocuments,
        checkpointing: bool,
    ) -> Result<Numbers, ModelError> {
        let gradients = match adapter {
            Some(adapter) => Gradients::Adapter(Box::new(adapter.zeros_like()?)),
            None => Gradients::Full(Box::new(Weights::zeros(model.config(), model.device())?)),
        };
        let how = TrainingPass {
            scale: 0.02,
            dropout: Some(DropoutKey { seed: 5, micro_batch: 3 }),
            noise: Some(Noise { seed: 5, micro_batch: 3, alpha: 5.0 }),
            checkpointing: checkpointing.then(Checkpointing::default),
        };
        let loss = model.forward_backward(documents, adapter, how, &gradients)?;
        let tensors: Vec<(String, &Tensor)> = match &gradients {
            Gradients::Adapter(adapter) => adapter.tensors().collect(),
            Gradients::Full(weights) => weights.tensors(),
        };
        let values = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?)));
        Ok((loss, values.collect::<Result<_, ModelError>>()?))
    }

    fn distance(got: &[f32], expected: &[f32]) -> f64 {
        assert_eq!(got.len(), expected.len());
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let difference = norm(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        difference / norm(&mut expected.iter().map(|x| f64::from(*x))).max(f64::MIN_POSITIVE)
    }

    /// Holds composites against bodies: loss and every gradient of a padded batch, with dropout and noise. In f32 they are
    /// those of the bodies; in bf16 they are about as far off the exact ones.
    fn passes_agree(base: &str, precision: BasePrecision, compute: ComputeType, full: bool) -> Result<(), ModelError> {
        let load = |compute| Model::load(&fixture(base), precision)?.computing_in(compute);
        let architecture = base.split('/').next().unwrap_or(base);
        let documents = ProbeBatch::load(&fixture(architecture).join("batch.safetensors"))?.documents()?;
        let model = load(compute)?;
        let adapter = (!full).then(|| adapter(&model)).transpose()?;
        let of_bodies = numbers(&model, adapter.as_ref(), &documents, false)?;
        let (loss, exact) = numbers(&load(ComputeType::F32)?, adapter.as_ref(), &documents, false)?;
        let agrees = |place: &str, (got_loss, got): Numbers, measured: f64| {
            let what = format!("{place}, {base}, {precision:?}, {compute:?}");
            let (mut greatest, mut of_body) = (0.0f64, 0.0f64);
            for (((name, exact), (_, body)), (_, got)) in exact.iter().zip(&of_bodies.1).zip(&got) {
                let (distance, allowed) = (distance(got, exact), 1e-5 + 2.0 * distance(body, exact));
                greatest = greatest.max(distance);
                of_body = of_body.max(allowed / 2.0);
                assert!(distance < allowed, "{what}: {name}: {distance:e}, expected at most {allowed:e}");
            }
            let of_loss = (got_loss / loss - 1.0).abs();
            eprintln!(
                "{what}: {} tensors, loss {of_loss:.1e}, gradients {greatest:.1e}, of the bodies {of_body:.1e}",
                got.len()
            );
            let allowed = if compute == ComputeType::F32 { 1e-6 } else { 1e-3 };
            assert!(of_loss < allowed, "{what}: loss {loss}, got {got_loss}");
            // Without noise and dropout, which move the loss by a little.
            assert!((measured / loss - 1.0).abs() < 0.1, "{what}: {measured} of {loss}");
        };
        let model = uploaded(load(compute)?)?;
        let got = with_composites(|| numbers(&model, adapter.as_ref(), &documents, true))?;
        agrees("cpu", got, with_composites(|| model.loss(&documents, adapter.as_ref()))?);
        if cuda_is_tested() {
            let model = Model::load_on(&fixture(base), precision, ComputeDevice::Cuda, &mut |_, _| ())?
                .computing_in(compute)?;
            let adapter = adapter.map(|adapter| adapter.to_device(model.device())).transpose()?;
            let got = numbers(&model, adapter.as_ref(), &documents, true)?;
            agrees("cuda", got, model.loss(&documents, adapter.as_ref())?);
        }
        Ok(())
    }

    #[test]
    fn training_passes_of_composites_equal_the_bodies() -> Result<(), ModelError> {
        for architecture in ["qwen2", "qwen3"] {
            let base = format!("{architecture}/model");
            passes_agree(&base, BasePrecision::F32, ComputeType::F32, false)?;
            passes_agree(&base, BasePrecision::F32, ComputeType::F32, true)?;
            passes_agree(&base, BasePrecision::Nf4, ComputeType::F32, false)?;
            passes_agree(&base, BasePrecision::Nf4, ComputeType::Bf16, false)?;
        }
        passes_agree("qwen2/awq", BasePrecision::Nf4, ComputeType::F32, false)
    }

    /// Fused layers and heads that are rotary in part; norms of what a block adds; windows, GELU and a table with a factor.
    #[test]
    fn composites_of_every_kind_of_block_equal_the_bodies() -> Result<(), ModelError> {
        for case in ["phi3_longrope", "olmo3", "gemma3_text"] {
            let base = format!("families/{case}/model");
            passes_agree(&base, BasePrecision::F32, ComputeType::F32, true)?;
            passes_agree(&base, BasePrecision::Nf4, ComputeType::F32, false)?;
            passes_agree(&base, BasePrecision::Nf4, ComputeType::Bf16, false)?;
        }
        Ok(())
    }

    #[test]
    fn decoding_by_composites_equals_the_bodies() -> Result<(), ModelError> {
        let load = || Model::load(&fixture("qwen3/model"), BasePrecision::Nf4);
        let logits = |model: &Model, adapter: &Adapter| -> Result<Vec<f32>, ModelError> {
            let long: Vec<u32> = (0..74).map(|i| i * 7 % 90).collect();
            let short = [1, 2, 3, 4, 5, 9, 10, 11, 12, 13];
            decoded(model, Some(adapter), &[(&short, 5), (&[6, 7], 2), (&[8, 10, 11, 12], 1), (&long, 70)])
        };
        let model = load()?;
        let adapter = adapter(&model)?;
        let expected = logits(&model, &adapter)?;
        let model = uploaded(load()?)?;
        let got = with_composites(|| logits(&model, &adapter))?;
        let distance = distance(&got, &expected);
        eprintln!("decoding: {distance:.1e}");
        assert!(distance < 1e-5, "{distance:e}");
        if cuda_is_tested() {
            let model =
                Model::load_on(&fixture("qwen3/model"), BasePrecision::Nf4, ComputeDevice::Cuda, &mut |_, _| ())?;
            let distance = self::distance(&logits(&model, &adapter.to_device(model.device())?)?, &expected);
            assert!(distance < 1e-5, "cuda: {distance:e}");
        }
        Ok(())
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn cuda_that_was_not_built_in_is_refused_by_name_and_auto_takes_the_cpu() -> Result<(), ModelError> {
        assert_eq!(DeviceChoice::Auto.choose()?, ComputeDevice::Cpu);
        let error = DeviceChoice::Cuda.choose().expect_err("there is no CUDA here");
        assert_eq!(error.to_string(), "device cuda: this program was built without CUDA");
        assert_eq!((error.blame(), error.hints()), (Blame::User, vec![OTHER_PROGRAM.to_owned()]));
        Ok(())
    }
}
