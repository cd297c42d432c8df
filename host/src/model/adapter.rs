//! A LoRA adapter in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors` with the keys
//! `base_model.model.model.layers.N.{self_attn,mlp}.X.lora_{A,B}.weight`, A [r, in], B [out, r].

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::checkpoint_files::{CheckpointFiles, NamedFloats, write_floats};
use super::{LoraConfig, Model, ModelConfig, ModelError, Projection};
use crate::artifact::write_atomic;
use crate::kernels::philox::{Purpose, Sequence};

/// The two factors of one linear layer's update.
#[derive(Debug, Clone)]
pub struct AdapterModule {
    /// A [r, in].
    pub(crate) a: Tensor,
    /// B [out, r].
    pub(crate) b: Tensor,
}

/// A LoRA adapter.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: LoraConfig,
    /// Where it was loaded from, for errors.
    origin: PathBuf,
    layers: Vec<[Option<AdapterModule>; Projection::ALL.len()]>,
}

const WEIGHTS: &str = "adapter_model.safetensors";
const OTHER_BASE: &str = "was the adapter made for another base?";

/// PEFT's name of a factor.
fn key(layer: usize, projection: Projection, factor: char) -> String {
    format!("base_model.model.model.layers.{layer}.{}.lora_{factor}.weight", projection.path())
}

impl Adapter {
    /// A new adapter for a model: A uniform in ±1/√in as PEFT draws it, B zero, so that the update begins at zero.
    pub(crate) fn new(config: &LoraConfig, model: &ModelConfig, seed: u64) -> Result<Self, ModelError> {
        Self::build(config, model.num_hidden_layers, PathBuf::from("a new adapter"), |layer, projection| {
            let (outputs, inputs) = model.projection_dims(projection);
            let stream = (layer * Projection::ALL.len() + projection.index()) as u64;
            let mut numbers = Sequence::new(seed, Purpose::Weights, stream);
            let bound = 1.0 / (inputs as f64).sqrt();
            let a: Vec<f32> =
                (0..config.r * inputs).map(|_| ((2.0 * numbers.uniform() - 1.0) * bound) as f32).collect();
            Ok(AdapterModule {
                a: Tensor::from_vec(a, (config.r, inputs), &Device::Cpu)?,
                b: Tensor::zeros((outputs, config.r), candle_core::DType::F32, &Device::Cpu)?,
            })
        })
    }

    /// The adapter in the memory of a model's device.
    pub fn beside(self, model: &Model) -> Result<Self, ModelError> {
        let device = model.device();
        if device.is_cpu() {
            return Ok(self);
        }
        Self::build(&self.config, self.layers.len(), self.origin.clone(), |layer, projection| {
            let module = self.layers[layer][projection.index()].as_ref();
            let module = module.ok_or_else(|| ModelError::Input(format!("layer {layer} lacks {projection}")))?;
            Ok(AdapterModule { a: module.a.to_device(device)?, b: module.b.to_device(device)? })
        })
    }

    fn build(
        config: &LoraConfig,
        layers: usize,
        origin: PathBuf,
        module: impl Fn(usize, Projection) -> Result<AdapterModule, ModelError>,
    ) -> Result<Self, ModelError> {
        let layers = (0..layers)
            .map(|layer| {
                let mut modules: [Option<AdapterModule>; Projection::ALL.len()] = Default::default();
                for projection in Projection::ALL.into_iter().filter(|projection| config.targets(*projection)) {
                    modules[projection.index()] = Some(module(layer, projection)?);
                }
                Ok(modules)
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self { config: config.clone(), origin, layers })
    }

    /// The same shape, filled with zeros: where gradients and moments are kept.
    pub(crate) fn zeros_like(&self) -> Result<Self, ModelError> {
        Self::build(&self.config, self.layers.len(), self.origin.clone(), |layer, projection| {
            let module = self.layers[layer][projection.index()].as_ref();
            let module = module.ok_or_else(|| ModelError::Input(format!("layer {layer} lacks {projection}")))?;
            Ok(AdapterModule { a: module.a.zeros_like()?, b: module.b.zeros_like()? })
        })
    }

    /// Loads `adapter_config.json` and `adapter_model.safetensors` from a folder. Every tensor that the configuration
    /// promises must be there, and no other.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let config_path = folder.join("adapter_config.json");
        let text = std::fs::read_to_string(&config_path).map_err(|e| ModelError::file(&config_path, e))?;
        let config = LoraConfig::from_peft_json(&config_path, &text)?;
        let path = folder.join(WEIGHTS);
        let files = CheckpointFiles::open_file(&path)?;
        let layer_of = |name: &str| -> Option<usize> {
            name.strip_prefix("base_model.model.model.layers.")?.split('.').next()?.parse().ok()
        };
        let layers = files.names().filter_map(layer_of).max().map_or(0, |last| last + 1);
        if layers == 0 {
            let tensor = key(0, config.target_modules[0], 'A');
            return Err(ModelError::MissingTensor { path, tensor });
        }
        let factor = |name: &str, rank_axis: usize| {
            let mut shape = files.shape(name)?;
            // The other axis is the base's business; it is checked where the base is known.
            shape.resize(2, 0);
            shape[rank_axis] = config.r;
            let values = files.floats(name, &shape, "does adapter_config.json belong to these weights?")?;
            Ok::<_, ModelError>(Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        let adapter = Self::build(&config, layers, path.clone(), |layer, projection| {
            Ok(AdapterModule {
                a: factor(&key(layer, projection, 'A'), 0)?,
                b: factor(&key(layer, projection, 'B'), 1)?,
            })
        })?;
        let known: std::collections::BTreeSet<String> = adapter.tensors().map(|(name, _)| name).collect();
        match files.names().find(|name| !known.contains(*name)) {
            None => Ok(adapter),
            Some(name) => Err(ModelError::UnexpectedTensor { path, tensor: name.to_owned() }),
        }
    }

    /// Writes PEFT's two files into a folder, each atomically; the configuration comes last.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let tensors = self
            .tensors()
            .map(|(name, tensor)| {
                Ok(NamedFloats { name, shape: tensor.dims().to_vec(), values: tensor.flatten_all()?.to_vec1()? })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        write_floats(&folder.join(WEIGHTS), &tensors, Dtype::F32)?;
        let path = folder.join("adapter_config.json");
        write_atomic(&path, self.config.to_peft_json(None).as_bytes()).map_err(|e| ModelError::file(&path, e))
    }

    /// The same adapter for training on under another configuration, which may change its dropout alone.
    pub(crate) fn continued_with(self, config: &LoraConfig) -> Result<Self, ModelError> {
        let (mut ours, mut theirs) = (config.clone(), self.config.clone());
        for config in [&mut ours, &mut theirs] {
            config.lora_dropout = 0.0;
            config.target_modules.sort();
        }
        if ours != theirs {
            let shape = |config: &LoraConfig| {
                let targets: Vec<String> = config.target_modules.iter().map(Projection::to_string).collect();
                let scale = if config.use_rslora { ", rsLoRA" } else { "" };
                format!("r {}, lora_alpha {}{scale}, {}", config.r, config.lora_alpha, targets.join(" "))
            };
            let message = format!(
                "expected an adapter as the section `lora` says ({}), got one of {}\nhint: give `lora` the values \
                 of its adapter_config.json",
                shape(&ours),
                shape(&theirs)
            );
            return Err(ModelError::Config { path: self.origin, message });
        }
        Ok(Self { config: config.clone(), ..self })
    }

    /// Checks every tensor's shape against a model.
    pub fn check_against(&self, model: &Model) -> Result<(), ModelError> {
        self.check_against_config(model.config())
    }

    /// Checks every tensor's shape against a model that is not loaded.
    pub(crate) fn check_against_config(&self, config: &ModelConfig) -> Result<(), ModelError> {
        if self.layers.len() != config.num_hidden_layers {
            return Err(ModelError::Config {
                path: self.origin.clone(),
                message: format!(
                    "expected updates for the base's {} layers, got {}\nhint: {OTHER_BASE}",
                    config.num_hidden_layers,
                    self.layers.len()
                ),
            });
        }
        for (layer, modules) in self.layers.iter().enumerate() {
            for projection in Projection::ALL {
                let Some(module) = &modules[projection.index()] else { continue };
                let (outputs, inputs) = config.projection_dims(projection);
                let factors = [('A', &module.a, [self.config.r, inputs]), ('B', &module.b, [outputs, self.config.r])];
                for (factor, tensor, expected) in factors {
                    if tensor.dims() != expected {
                        return Err(ModelError::Shape {
                            path: self.origin.clone(),
                            tensor: key(layer, projection, factor),
                            expected: expected.to_vec(),
                            got: tensor.dims().to_vec(),
                            hint: OTHER_BASE,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// The adapter's configuration.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Number of decoder blocks of the base it was made for.
    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// The update of one layer's projection.
    pub(crate) fn module(&self, layer: usize, projection: Projection) -> Option<&AdapterModule> {
        self.layers.get(layer)?[projection.index()].as_ref()
    }

    /// Every tensor with PEFT's name for it, block by block.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.layers.iter().enumerate().flat_map(|(layer, modules)| {
            Projection::ALL
                .into_iter()
                .filter_map(move |projection| Some((projection, modules[projection.index()].as_ref()?)))
                .flat_map(move |(projection, module)| {
                    [(key(layer, projection, 'A'), &module.a), (key(layer, projection, 'B'), &module.b)]
                })
        })
    }
}
