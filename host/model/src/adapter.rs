//! A LoRA adapter in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors` with the keys
//! `base_model.model.model.layers.N.{self_attn,mlp}.X.lora_{A,B}.weight`, A [r, in], B [out, r], and for the tables that
//! are trained whole `base_model.model.{model.embed_tokens,lm_head}.weight` [vocabulary, width].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::base_modules::BaseModules;
use super::checkpoint_files::{CheckpointFiles, NamedFloats, write_floats};
use super::lora_config::{BlockShape, ModuleShape, NAMED_BLOCKS};
use super::{LoraConfig, ModelConfig, ModelError, ModuleToSave, Projection};
use hilora_contract::artifact::write_atomic;
use hilora_kernels::linear::Weight;
use hilora_kernels::philox::{Purpose, Sequence};

/// The two factors of one linear layer's update.
#[derive(Debug, Clone)]
pub struct AdapterModule {
    /// A [r, in].
    pub(crate) a: Tensor,
    /// B [out, r].
    pub(crate) b: Tensor,
    /// What multiplies B A.
    pub(crate) scale: f32,
}

/// The updates of one block.
type Modules = [Option<AdapterModule>; Projection::ALL.len()];

/// A LoRA adapter.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: Arc<LoraConfig>,
    /// Where it was loaded from, for errors.
    origin: PathBuf,
    /// What its base has.
    modules: BaseModules,
    layers: Vec<Modules>,
    /// The trained copies of tables, [vocabulary, width] in f32 each. The base's own stay as they are.
    saved: [Option<Weight>; ModuleToSave::ALL.len()],
}

const WEIGHTS: &str = "adapter_model.safetensors";
/// What older versions of PEFT wrote.
const PICKLED_WEIGHTS: &str = "adapter_model.bin";
/// No base has as many blocks: a tensor of a later one is refused before anything is made for the blocks before it.
const BLOCKS_MAX: usize = 4096;
const OTHER_BASE: &str = "was the adapter made for another base?";

/// PEFT's name of a factor.
fn key(modules: BaseModules, layer: usize, projection: Projection, factor: char) -> String {
    format!("base_model.model.{}.lora_{factor}.weight", modules.layer(layer, projection))
}

/// PEFT's name of a trained copy of a table.
fn table_key(modules: BaseModules, module: ModuleToSave) -> String {
    format!("base_model.model.{}.weight", modules.table(module))
}

/// A copy of a table in f32.
fn widened(table: &Weight) -> Result<Tensor, ModelError> {
    let (rows, columns) = table.dims()?;
    let values = table.with_rows(|source| {
        let mut values = vec![0.0; rows * columns];
        values.chunks_mut(columns).enumerate().for_each(|(row, values)| source.read(row, 0, values));
        values
    })?;
    Ok(Tensor::from_vec(values, (rows, columns), table.device())?)
}

impl Adapter {
    /// A new adapter for a base with these tables: A uniform in ±1/√in as PEFT draws it, B zero, so that the update begins at zero;
    /// copies of tables begin as the base's.
    pub(crate) fn new<'a>(
        config: &LoraConfig,
        base: &ModelConfig,
        tables: impl Fn(ModuleToSave) -> &'a Weight,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let module = |layer: usize, projection: Projection, ModuleShape { rank, scale }: ModuleShape| {
            let (outputs, inputs) = base.projection_dims(projection);
            // Of a base's own layers no two have the same number: a fused one has that of a layer which it replaces one
            // block later.
            let stream = (layer * Projection::SEPARATE.len() + projection.index()) as u64;
            let mut numbers = Sequence::new(seed, Purpose::Weights, stream);
            let bound = 1.0 / (inputs as f64).sqrt();
            let a: Vec<f32> = (0..rank * inputs).map(|_| ((2.0 * numbers.uniform() - 1.0) * bound) as f32).collect();
            Ok(AdapterModule {
                a: Tensor::from_vec(a, (rank, inputs), &Device::Cpu)?,
                b: Tensor::zeros((outputs, rank), candle_core::DType::F32, &Device::Cpu)?,
                scale,
            })
        };
        let saved = |module: ModuleToSave| widened(tables(module));
        let (config, layers) = (config.over(base.modules()), (base.num_hidden_layers, base.modules()));
        let adapter = Self::build(&config, layers, PathBuf::from("a new adapter"), module, saved)?;
        config.check_names(base).map_err(ModelError::input)?;
        if adapter.layers.iter().flatten().flatten().next().is_none() {
            let layers = base.num_hidden_layers;
            return Err(ModelError::input(format!(
                "lora.target_modules: expected a layer of the base's {layers} blocks, got {}, which is none",
                config.target_modules
            )));
        }
        Ok(adapter)
    }

    /// The adapter in the memory of a device.
    pub fn to_device(self, device: &Device) -> Result<Self, ModelError> {
        if device.is_cpu() {
            return Ok(self);
        }
        self.mapped(|tensor| Ok(tensor.to_device(device)?))
    }

    fn build(
        config: &LoraConfig,
        (layers, modules): (usize, BaseModules),
        origin: PathBuf,
        module: impl Fn(usize, Projection, ModuleShape) -> Result<AdapterModule, ModelError>,
        table: impl Fn(ModuleToSave) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let blocks = config.blocks(layers, modules);
        let blocks = blocks.map_err(|problem| ModelError::config(&origin, problem))?;
        let mut layers = Vec::with_capacity(blocks.len());
        for (layer, block) in blocks.into_iter().enumerate() {
            let mut of_block = Modules::default();
            for (projection, shape) in Projection::ALL.into_iter().zip(block) {
                of_block[projection.index()] = shape.map(|shape| module(layer, projection, shape)).transpose()?;
            }
            layers.push(of_block);
        }
        let mut saved: [Option<Weight>; ModuleToSave::ALL.len()] = Default::default();
        for module in ModuleToSave::ALL.into_iter().filter(|module| config.saves(*module)) {
            saved[module.index()] = Some(Weight::F32(table(module)?));
        }
        Ok(Self { config: Arc::new(config.clone()), origin, modules, layers, saved })
    }

    /// The same shape, filled with zeros: where gradients and moments are kept.
    pub fn zeros_like(&self) -> Result<Self, ModelError> {
        self.mapped(|tensor| Ok(tensor.zeros_like()?))
    }

    /// An adapter of the same shape with other tensors.
    fn mapped(&self, map: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Result<Self, ModelError> {
        let mut adapter = self.clone();
        for module in adapter.layers.iter_mut().flatten().flatten() {
            (module.a, module.b) = (map(&module.a)?, map(&module.b)?);
        }
        for table in adapter.saved.iter_mut().flatten() {
            let dense =
                table.dense().ok_or_else(|| ModelError::Defect("a copy of a table is not in f32".to_owned()))?;
            *table = Weight::F32(map(dense)?);
        }
        Ok(adapter)
    }

    /// The same adapter with another B in every update; all else is shared with this one.
    pub fn with_b(&self, mut b: impl FnMut(&Tensor) -> Result<Tensor, ModelError>) -> Result<Self, ModelError> {
        let mut adapter = self.clone();
        for module in adapter.layers.iter_mut().flatten().flatten() {
            module.b = b(&module.b)?;
        }
        Ok(adapter)
    }

    /// Loads `adapter_config.json` and `adapter_model.safetensors` from a folder. Every tensor that the configuration
    /// promises must be there, and no other.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let config_path = folder.join("adapter_config.json");
        let text = std::fs::read_to_string(&config_path).map_err(|e| ModelError::reading(&config_path, e))?;
        let config = LoraConfig::from_peft_json(&config_path, &text)?;
        let (path, pickled) = (folder.join(WEIGHTS), folder.join(PICKLED_WEIGHTS));
        if pickled.exists() && !path.exists() {
            return Err(ModelError::config_with_hint(
                &pickled,
                format!("expected the weights in {WEIGHTS}, got a pickle, which is a program and is not run"),
                "load it with PEFT and write it with `save_pretrained`, which makes safetensors of it",
            ));
        }
        let files = CheckpointFiles::open_file(&path)?;
        // The files do not say what the base is; what they hold of it does.
        let modules = BaseModules::of_adapter(files.names());
        let layer_of = |name: &str| modules.block_of(name);
        if let Some(name) = files.names().find(|name| layer_of(name).is_some_and(|layer| layer >= BLOCKS_MAX)) {
            return Err(ModelError::UnexpectedTensor { path, tensor: name.to_owned() });
        }
        let layers = files.names().filter_map(layer_of).max().map_or(0, |last| last + 1);
        if layers == 0 {
            // Of whatever base, a block of this number would have an update.
            let blocks = config
                .blocks(NAMED_BLOCKS, BaseModules { layers: &Projection::ALL, ..modules })
                .map_err(|problem| ModelError::config(&config_path, problem))?;
            let first = blocks.iter().enumerate().find_map(|(layer, block)| {
                let projection = Projection::ALL.into_iter().find(|projection| block[projection.index()].is_some())?;
                Some((layer, projection))
            });
            let (layer, projection) = first.unwrap_or((0, Projection::QProj));
            return Err(ModelError::MissingTensor { path, tensor: key(modules, layer, projection, 'A') });
        }
        let factor = |name: &str, rank_axis: usize, rank: usize| {
            let mut shape = files.shape(name)?;
            // The other axis is the base's business; it is checked when the base is known.
            shape.resize(2, 0);
            shape[rank_axis] = rank;
            let values = files.floats(name, &shape, "does adapter_config.json belong to these weights?")?;
            Ok::<_, ModelError>(Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        let module = |layer: usize, projection: Projection, ModuleShape { rank, scale }: ModuleShape| {
            let (a, b) = (key(modules, layer, projection, 'A'), key(modules, layer, projection, 'B'));
            Ok(AdapterModule { a: factor(&a, 0, rank)?, b: factor(&b, 1, rank)?, scale })
        };
        let table = |module: ModuleToSave| {
            let name = table_key(modules, module);
            // Its shape, too, is checked when the base is known.
            let shape = files.shape(&name)?;
            Ok(Tensor::from_vec(files.floats(&name, &shape, OTHER_BASE)?, shape, &Device::Cpu)?)
        };
        let adapter = Self::build(&config, (layers, modules), path.clone(), module, table)?;
        let known: std::collections::BTreeSet<String> = adapter.tensors().map(|(name, _)| name).collect();
        match files.names().find(|name| !known.contains(*name)) {
            None => Ok(adapter),
            Some(name) => Err(ModelError::UnexpectedTensor { path, tensor: name.to_owned() }),
        }
    }

    /// Writes PEFT's two files into a folder, each atomically; the configuration comes last. It calls the base by the name
    /// that is given, by which PEFT finds it.
    pub fn save(&self, folder: &Path, base_model: Option<&str>) -> Result<(), ModelError> {
        let tensors = self
            .tensors()
            .map(|(name, tensor)| {
                Ok(NamedFloats { name, shape: tensor.dims().to_vec(), values: tensor.flatten_all()?.to_vec1()? })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        write_floats(&folder.join(WEIGHTS), &tensors, Dtype::F32)?;
        let path = folder.join("adapter_config.json");
        write_atomic(&path, self.config.to_peft_json(base_model).as_bytes()).map_err(|e| ModelError::writing(&path, e))
    }

    /// The same adapter for training on under another configuration, which may change its dropout alone.
    pub fn continued_with(self, config: &LoraConfig) -> Result<Self, ModelError> {
        let config = &config.over(self.modules);
        let (mut ours, mut theirs) = (config.sorted(), self.config.sorted());
        for config in [&mut ours, &mut theirs] {
            config.lora_dropout = 0.0;
        }
        if ours != theirs {
            let shape = |config: &LoraConfig| {
                let scale = if config.use_rslora { ", rsLoRA" } else { "" };
                let saved: String = config.modules_to_save.iter().map(|module| format!(", {module} saved")).collect();
                let excluded = config.exclude_modules.as_ref().map(|excluded| format!(", without {excluded}"));
                let layers = (!config.layers_to_transform.is_empty())
                    .then(|| format!(", of blocks {:?}", config.layers_to_transform));
                let patterns = [config.rank_pattern.to_string(), config.alpha_pattern.to_string()].concat();
                format!(
                    "r {}, lora_alpha {}{scale}, {}{}{}{patterns}{saved}",
                    config.r,
                    config.lora_alpha,
                    config.target_modules,
                    excluded.unwrap_or_default(),
                    layers.unwrap_or_default()
                )
            };
            let (expected, got) = (shape(&ours), shape(&theirs));
            return Err(ModelError::config_with_hint(
                &self.origin,
                format!("expected an adapter as the section `lora` says ({expected}), got one of {got}"),
                "give `lora` the values of its adapter_config.json",
            ));
        }
        Ok(Self { config: Arc::new(config.clone()), ..self })
    }

    /// Checks every tensor's shape against a base's.
    pub fn check_against(&self, config: &ModelConfig) -> Result<(), ModelError> {
        // Blocks behind the last that has an update may have none, as `layers_to_transform` says it.
        let blocks = self.config.blocks(config.num_hidden_layers, config.modules());
        let blocks = blocks.map_err(|problem| ModelError::config(&self.origin, problem))?;
        let lacks = |block: &BlockShape| block.iter().any(Option::is_some);
        if self.layers.len() > config.num_hidden_layers || blocks.iter().skip(self.layers.len()).any(lacks) {
            let (expected, got) = (config.num_hidden_layers, self.layers.len());
            let message = format!("expected updates for the base's {expected} layers, got {got}");
            return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
        }
        if self.modules.wrapped != config.modules().wrapped {
            let of = |wrapped: bool| if wrapped { "the text model of a wrapper" } else { "a text model" };
            let (expected, got) = (of(config.modules().wrapped), of(self.modules.wrapped));
            let message = format!("expected updates of {expected}, got those of {got}");
            return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
        }
        for (layer, (modules, block)) in self.layers.iter().zip(&blocks).enumerate() {
            for projection in Projection::ALL {
                let Some(module) = &modules[projection.index()] else {
                    if block[projection.index()].is_some() {
                        let message =
                            format!("expected an update of {}, got none", config.modules().layer(layer, projection));
                        return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
                    }
                    continue;
                };
                if !config.projections().contains(&projection) {
                    let names: Vec<_> = config.projections().iter().map(ToString::to_string).collect();
                    let message = format!(
                        "expected updates of the base's layers ({}), got one of {}",
                        names.join(", "),
                        config.modules().layer(layer, projection)
                    );
                    return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
                }
                let (outputs, inputs) = config.projection_dims(projection);
                let rank = module.a.dim(0)?;
                let factors = [('A', &module.a, [rank, inputs]), ('B', &module.b, [outputs, rank])];
                for (factor, tensor, expected) in factors {
                    if tensor.dims() != expected {
                        return Err(ModelError::Shape {
                            path: self.origin.clone(),
                            tensor: key(self.modules, layer, projection, factor),
                            expected: expected.to_vec(),
                            got: tensor.dims().to_vec(),
                            hint: OTHER_BASE,
                        });
                    }
                }
            }
        }
        let expected = [config.vocab_size, config.hidden_size];
        for (tensor, table) in self.tables() {
            if table.dims() != expected {
                return Err(ModelError::Shape {
                    path: self.origin.clone(),
                    tensor,
                    expected: expected.to_vec(),
                    got: table.dims().to_vec(),
                    hint: OTHER_BASE,
                });
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

    /// The projections that have an update in some block.
    pub(crate) fn targets(&self) -> Vec<Projection> {
        let has = |projection: &Projection| self.layers.iter().any(|modules| modules[projection.index()].is_some());
        Projection::ALL.into_iter().filter(has).collect()
    }

    /// The trained copy of a table.
    pub(crate) fn saved(&self, module: ModuleToSave) -> Option<&Weight> {
        self.saved[module.index()].as_ref()
    }

    /// The trained copies of tables with PEFT's names for them.
    fn tables(&self) -> impl Iterator<Item = (String, &Tensor)> {
        ModuleToSave::ALL
            .into_iter()
            .filter_map(|module| Some((table_key(self.modules, module), self.saved(module).and_then(Weight::dense)?)))
    }

    /// Every tensor with PEFT's name for it: the factors block by block, then the tables.
    pub fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let base = self.modules;
        let factors = self.layers.iter().enumerate().flat_map(move |(layer, modules)| {
            Projection::ALL
                .into_iter()
                .filter_map(move |projection| Some((projection, modules[projection.index()].as_ref()?)))
                .flat_map(move |(projection, module)| {
                    [(key(base, layer, projection, 'A'), &module.a), (key(base, layer, projection, 'B'), &module.b)]
                })
        });
        factors.chain(self.tables())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::{perturbed, small_lora, small_model};

    #[test]
    fn copies_of_tables_are_saved_loaded_and_held_against_the_base() -> Result<(), Box<dyn std::error::Error>> {
        let model = small_model(6)?;
        let lora = LoraConfig { modules_to_save: vec![ModuleToSave::LmHead], ..small_lora() };
        // They begin as the base's, here as the embedding, to which the output layer is tied.
        let new = model.new_adapter(&lora, 1)?;
        let begun = new.saved(ModuleToSave::LmHead).and_then(Weight::dense).ok_or("no copy")?.to_vec2::<f32>()?;
        assert_eq!(begun, model.weights.embedding.dense().ok_or("no table")?.to_vec2::<f32>()?);

        let (folder, adapter) = (tempfile::tempdir()?, perturbed(&model, &lora)?);
        adapter.save(folder.path(), Some("owner/base"))?;
        let written: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.path().join("adapter_config.json"))?)?;
        assert_eq!(written["base_model_name_or_path"], "owner/base");
        let loaded = Adapter::load(folder.path())?;
        loaded.check_against(model.config())?;
        assert_eq!(loaded.config(), adapter.config());
        let (names, expected): (Vec<_>, Vec<_>) = adapter.tensors().map(|(name, t)| (name, t.to_vec2::<f32>())).unzip();
        assert!(names.ends_with(&["base_model.model.lm_head.weight".to_owned()]) && names.len() == 29, "{names:?}");
        for ((_, got), expected) in loaded.tensors().zip(expected) {
            assert_eq!(got.to_vec2::<f32>()?, expected?);
        }
        let weights = folder.path().join(WEIGHTS);
        std::fs::rename(&weights, folder.path().join(PICKLED_WEIGHTS))?;
        let error = Adapter::load(folder.path()).err().ok_or("a pickle was read")?.to_string();
        assert!(
            error.ends_with(
                "expected the weights in adapter_model.safetensors, got a pickle, which is a program and is not run"
            ),
            "{error}"
        );
        let other = ModelConfig { vocab_size: 97, ..model.config().clone() };
        let error = loaded.check_against(&other).err().ok_or("taken over another vocabulary")?.to_string();
        assert!(error.contains("lm_head.weight`: expected shape [97, 64], got [96, 64]"), "{error}");
        Ok(())
    }

    #[test]
    fn an_update_of_a_block_that_no_base_has_is_refused_at_once() -> Result<(), Box<dyn std::error::Error>> {
        let (model, folder) = (small_model(6)?, tempfile::tempdir()?);
        perturbed(&model, &small_lora())?.save(folder.path(), None)?;
        for layer in ["4000000000", "18446744073709551615"] {
            let name = format!("base_model.model.model.layers.{layer}.self_attn.q_proj.lora_A.weight");
            let tensor = NamedFloats { name: name.clone(), shape: vec![4, 64], values: vec![0.0; 256] };
            write_floats(&folder.path().join(WEIGHTS), &[tensor], Dtype::F32)?;
            let error = Adapter::load(folder.path()).err().ok_or("it was read")?.to_string();
            assert!(error.contains(&name), "{error}");
        }
        Ok(())
    }
}
