//! An adapter in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors` with the keys
//! `base_model.model.model.layers.N.{self_attn,mlp}.X.lora_{A,B}.weight`, A [r, in], B [out, r], the same for `lm_head`, and
//! `base_model.model.model.embed_tokens.lora_embedding_{A,B}`; for the tables that are trained whole
//! `base_model.model.{model.embed_tokens,lm_head}.weight` [vocabulary, width].
//!
//! A file may hold tables of the base, too: PEFT writes those that have an update. They take the place of the base's, as
//! they do when PEFT loads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use super::adapter_module::{AdapterModule, Part, Target};
use super::base_modules::BaseModules;
use super::checkpoint::as_stored;
use super::checkpoint_files::{CheckpointFiles, NamedFloats, write_floats_of};
use super::config::BLOCKS_MAX;
use super::lora_config::{BlockShape, ModuleShape, NAMED_BLOCKS};
use super::{LoraConfig, ModelConfig, ModelError, ModuleToSave, Projection};
use hilora_contract::artifact::write_atomic;
use hilora_kernels::dora;
use hilora_kernels::linear::Weight;
use hilora_kernels::philox::{Purpose, Sequence};

/// The updates of one block.
type Modules = [Option<AdapterModule>; Projection::ALL.len()];

/// One of something for each table, where there is one.
type Tables<T> = [Option<T>; ModuleToSave::ALL.len()];

/// An adapter.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: Arc<LoraConfig>,
    /// Where it was loaded from, for errors.
    origin: PathBuf,
    /// What its base has.
    modules: BaseModules,
    layers: Vec<Modules>,
    /// The updates of tables.
    tables: Tables<AdapterModule>,
    /// The trained copies of tables, [vocabulary, width] in f32 each. The base's own stay as they are.
    saved: Tables<Weight>,
    /// Tables of the base that its file holds. They are not trained.
    base_tables: Tables<Weight>,
}

const WEIGHTS: &str = "adapter_model.safetensors";
/// What older versions of PEFT wrote.
const PICKLED_WEIGHTS: &str = "adapter_model.bin";
const OTHER_BASE: &str = "was the adapter made for another base?";

/// PEFT's name of a trained copy of a table.
fn table_key(modules: BaseModules, module: ModuleToSave) -> String {
    format!("base_model.model.{}.weight", modules.table(module))
}

/// A copy of a table in f32.
pub(crate) fn widened(table: &Weight) -> Result<Tensor, ModelError> {
    Ok(Tensor::from_vec(table.widened()?, table.dims()?, table.device())?)
}

/// A table as its file holds it: values and the type that keeps them; `None` of one that is quantized.
fn stored(table: &Weight) -> Result<Option<(Vec<f32>, Dtype)>, ModelError> {
    let (tensor, dtype) = match table {
        Weight::F32(tensor) => (tensor, Dtype::F32),
        Weight::Bf16(tensor) => (tensor, Dtype::BF16),
        Weight::F16(tensor) => (tensor, Dtype::F16),
        Weight::Nf4(_) | Weight::Integer(_) | Weight::Float8(_) | Weight::Coded(_) => return Ok(None),
    };
    Ok(Some((tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, dtype)))
}

impl Adapter {
    /// A new adapter for a base, whose weight of each target `weight_of` lends: A uniform in ±1/√in as PEFT draws it, B
    /// zero, so that the update begins at zero, and of an embedding A zero and B normal; magnitudes begin as the norms that
    /// they divide by, copies of tables as the base's.
    pub(crate) fn new<'a>(
        config: &LoraConfig,
        base: &ModelConfig,
        weight_of: impl Fn(Target) -> candle_core::Result<&'a Weight>,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let module = |target: Target, ModuleShape { rank, scale }: ModuleShape| {
            let (outputs, inputs) = target.dims(base);
            let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
            let stream = match target {
                // Of a base's own layers no two have the same number: a fused one has that of a layer which it replaces one
                // block later.
                Target::Layer(layer, projection) => (layer * Projection::SEPARATE.len() + projection.index()) as u64,
                Target::Table(module) => u64::MAX - module.index() as u64,
            };
            let mut numbers = Sequence::new(seed, Purpose::Weights, stream);
            let (a, b) = if target == Target::Table(ModuleToSave::EmbedTokens) {
                let b: Vec<f32> = (0..outputs * rank).map(|_| numbers.normal() as f32).collect();
                (zeros(&[rank, inputs])?, Tensor::from_vec(b, (outputs, rank), &Device::Cpu)?)
            } else {
                let bound = 1.0 / (inputs as f64).sqrt();
                let a: Vec<f32> =
                    (0..rank * inputs).map(|_| ((2.0 * numbers.uniform() - 1.0) * bound) as f32).collect();
                (Tensor::from_vec(a, (rank, inputs), &Device::Cpu)?, zeros(&[outputs, rank])?)
            };
            let bias = config.lora_bias.then(|| zeros(&[outputs])).transpose()?;
            let mut module = AdapterModule { a, b, scale, bias, magnitude: None };
            if config.use_dora {
                let weight = weight_of(target)?;
                let there = module.mapped(&|tensor| Ok(tensor.to_device(weight.device())?))?;
                let norms: Vec<f32> = dora::norms(weight, there.factors())?.to_vec1()?;
                module.magnitude = Some(Tensor::from_vec(norms, outputs, &Device::Cpu)?);
            }
            Ok(module)
        };
        let saved = |module: ModuleToSave| widened(weight_of(Target::Table(module))?);
        config.check_names(base).map_err(ModelError::input)?;
        let (config, layers) = (&config.over(base.modules()), (base.num_hidden_layers, base.modules()));
        let mut adapter = Self::build(config, layers, PathBuf::from("a new adapter"), module, saved)?;
        if adapter.modules().next().is_none() {
            let layers = base.num_hidden_layers;
            return Err(ModelError::input(format!(
                "lora.target_modules: expected a layer of the base's {layers} blocks, got {}, which is none",
                config.target_modules
            )));
        }
        if config.saves_base_tables() {
            for module in ModuleToSave::ALL.into_iter().filter(|module| adapter.tables[module.index()].is_some()) {
                adapter.base_tables[module.index()] = Some(weight_of(Target::Table(module))?.clone());
            }
        }
        Ok(adapter)
    }

    /// The adapter in the memory of a device.
    pub fn to_device(self, device: &Device) -> Result<Self, ModelError> {
        if device.is_cpu() {
            return Ok(self);
        }
        let there = self.mapped(|tensor| Ok(tensor.to_device(device)?))?;
        let base_tables = self.base_tables.map(|table| table.map(|table| table.to_device(device)).transpose());
        let [embedding, head] = base_tables;
        Ok(Self { base_tables: [embedding?, head?], ..there })
    }

    fn build(
        config: &LoraConfig,
        (layers, modules): (usize, BaseModules),
        origin: PathBuf,
        module: impl Fn(Target, ModuleShape) -> Result<AdapterModule, ModelError>,
        table: impl Fn(ModuleToSave) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let wrong = |problem| ModelError::config(&origin, problem);
        let blocks = config.blocks(layers, modules).map_err(wrong)?;
        let mut layers = Vec::with_capacity(blocks.len());
        for (layer, block) in blocks.into_iter().enumerate() {
            let mut of_block = Modules::default();
            for (projection, shape) in Projection::ALL.into_iter().zip(block) {
                let update = shape.map(|shape| module(Target::Layer(layer, projection), shape));
                of_block[projection.index()] = update.transpose()?;
            }
            layers.push(of_block);
        }
        let mut tables = Tables::default();
        for (table, shape) in ModuleToSave::ALL.into_iter().zip(config.tables(modules).map_err(wrong)?) {
            tables[table.index()] = shape.map(|shape| module(Target::Table(table), shape)).transpose()?;
        }
        let mut saved = Tables::default();
        for module in ModuleToSave::ALL.into_iter().filter(|module| config.saves(*module)) {
            saved[module.index()] = Some(Weight::F32(table(module)?));
        }
        let (config, base_tables) = (Arc::new(config.clone()), Tables::default());
        Ok(Self { config, origin, modules, layers, tables, saved, base_tables })
    }

    /// The same shape, filled with zeros: where gradients and moments are kept.
    pub fn zeros_like(&self) -> Result<Self, ModelError> {
        self.mapped(|tensor| Ok(tensor.zeros_like()?))
    }

    /// An adapter of the same shape with other tensors in the places of those that are trained, and no others.
    fn mapped(&self, map: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Result<Self, ModelError> {
        let mut adapter = Self { base_tables: Tables::default(), ..self.clone() };
        for module in adapter.layers.iter_mut().flatten().chain(&mut adapter.tables).flatten() {
            *module = module.mapped(&map)?;
        }
        for table in adapter.saved.iter_mut().flatten() {
            let dense =
                table.dense().ok_or_else(|| ModelError::Defect("a copy of a table is not in f32".to_owned()))?;
            *table = Weight::F32(map(dense)?);
        }
        Ok(adapter)
    }

    /// The same adapter with another tensor in the place of each factor that begins as zeros: B, and of an embedding A. All
    /// else is shared with this one.
    pub fn with_zeros(
        &self,
        mut replace: impl FnMut(&Tensor) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let mut adapter = self.clone();
        for module in adapter.layers.iter_mut().flatten().flatten() {
            module.b = replace(&module.b)?;
        }
        for (table, module) in ModuleToSave::ALL.into_iter().zip(&mut adapter.tables) {
            let Some(module) = module else { continue };
            match table {
                ModuleToSave::EmbedTokens => module.a = replace(&module.a)?,
                ModuleToSave::LmHead => module.b = replace(&module.b)?,
            }
        }
        Ok(adapter)
    }

    /// Loads `adapter_config.json` and `adapter_model.safetensors` from a folder. Every tensor that the configuration
    /// promises must be there, and no other.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let config_path = folder.join("adapter_config.json");
        let text = std::fs::read_to_string(&config_path).map_err(|e| ModelError::reading(&config_path, e))?;
        let config = LoraConfig::from_peft_json(&config_path, &text)?;
        let path = Self::weights_path(folder);
        let files = CheckpointFiles::open_file(&path)?;
        // The files do not say what the base is; what they hold of it does.
        let modules = BaseModules::of_adapter(config.target_modules.expression(), files.names());
        let layer_of = |name: &str| modules.block_of(name);
        if let Some(name) = files.names().find(|name| layer_of(name).is_some_and(|layer| layer >= BLOCKS_MAX)) {
            return Err(ModelError::UnexpectedTensor { path, tensor: name.to_owned() });
        }
        let layers = files.names().filter_map(layer_of).max().map_or(0, |last| last + 1);
        let wrong = |problem| ModelError::config(&config_path, problem);
        let has_tables = config.tables(modules).map_err(wrong)?.iter().any(Option::is_some);
        if layers == 0 {
            // Of whatever base, a block of this number would have an update.
            let every = BaseModules { layers: &Projection::ALL, ..modules };
            let blocks = config.blocks(NAMED_BLOCKS, every).map_err(wrong)?;
            let first = blocks.iter().enumerate().find_map(|(layer, block)| {
                let projection = Projection::ALL.into_iter().find(|projection| block[projection.index()].is_some())?;
                Some((layer, projection))
            });
            if first.is_some() || !has_tables {
                let (layer, projection) = first.unwrap_or((0, Projection::QProj));
                let tensor = Target::Layer(layer, projection).key(modules, Part::A);
                return Err(ModelError::MissingTensor { path, tensor });
            }
        }
        // The axes that are not the rank are the base's business; they are checked when the base is known.
        let read = |name: &str, axes: usize, rank: Option<(usize, usize)>| {
            let mut shape = files.shape(name)?;
            shape.resize(axes, 0);
            if let Some((axis, rank)) = rank {
                shape[axis] = rank;
            }
            let values = files.floats(name, &shape, "does adapter_config.json belong to these weights?")?;
            Ok::<_, ModelError>(Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        let module = |target: Target, ModuleShape { rank, scale }: ModuleShape| {
            let vector = |part: Part| read(&target.key(modules, part), 1, None);
            Ok(AdapterModule {
                a: read(&target.key(modules, Part::A), 2, Some((0, rank)))?,
                b: read(&target.key(modules, Part::B), 2, Some((1, rank)))?,
                scale,
                bias: config.lora_bias.then(|| vector(Part::Bias)).transpose()?,
                magnitude: config.use_dora.then(|| vector(Part::Magnitude)).transpose()?,
            })
        };
        let table = |module: ModuleToSave| {
            let name = table_key(modules, module);
            // Its shape, too, is checked when the base is known.
            let shape = files.shape(&name)?;
            Ok(Tensor::from_vec(files.floats(&name, &shape, OTHER_BASE)?, shape, &Device::Cpu)?)
        };
        let mut adapter = Self::build(&config, (layers, modules), path.clone(), module, table)?;
        for module in ModuleToSave::ALL {
            if let Some(name) = adapter.base_table_key(module).filter(|name| files.contains(name)) {
                let tensor = files.tensor(&name)?;
                let shape = tensor.shape.try_into().map_err(|_| tensor.wrong("expected a table of two axes"))?;
                adapter.base_tables[module.index()] = Some(as_stored(tensor, shape)?);
            }
        }
        let known: BTreeSet<String> = adapter.tensors().map(|(name, _)| name).collect();
        let base_tables: BTreeSet<String> = adapter.named_base_tables().map(|(name, _)| name).collect();
        match files.names().find(|name| !known.contains(*name) && !base_tables.contains(*name)) {
            None => Ok(adapter),
            Some(name) => Err(ModelError::UnexpectedTensor { path, tensor: name.to_owned() }),
        }
    }

    /// The file of a folder's weights: safetensors, or where there is none the pickle that older versions of PEFT wrote.
    pub fn weights_path(folder: &Path) -> PathBuf {
        let (path, pickled) = (folder.join(WEIGHTS), folder.join(PICKLED_WEIGHTS));
        if pickled.exists() && !path.exists() { pickled } else { path }
    }

    /// Writes PEFT's two files into a folder, each atomically; the configuration comes last. It calls the base by the name
    /// that is given, by which PEFT finds it.
    pub fn save(&self, folder: &Path, base_model: Option<&str>) -> Result<(), ModelError> {
        let mut tensors = self
            .tensors()
            .map(|(name, tensor)| {
                let (shape, values) = (tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1()?);
                Ok((NamedFloats { name, shape, values }, Dtype::F32))
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        for (name, table) in self.named_base_tables() {
            let (rows, columns) = table.dims()?;
            if let Some((values, dtype)) = stored(table)? {
                tensors.push((NamedFloats { name, shape: vec![rows, columns], values }, dtype));
            }
        }
        write_floats_of(&folder.join(WEIGHTS), &tensors)?;
        let path = folder.join("adapter_config.json");
        write_atomic(&path, self.config.to_peft_json(base_model).as_bytes()).map_err(|e| ModelError::writing(&path, e))
    }

    /// The same adapter for training on under another configuration, which may change its dropout alone.
    pub fn continued_with(self, config: &LoraConfig) -> Result<Self, ModelError> {
        let config = &config.over(self.modules);
        let (mut ours, mut theirs) = (config.sorted(), self.config.over(self.modules).sorted());
        for config in [&mut ours, &mut theirs] {
            config.lora_dropout = 0.0;
        }
        if ours != theirs {
            let shape = |config: &LoraConfig| {
                let kinds = [
                    (config.use_rslora, ", rsLoRA"),
                    (config.use_dora, ", DoRA"),
                    (config.lora_bias, ", with the bias of B"),
                ];
                let kind: String = kinds.into_iter().filter_map(|(is_one, kind)| is_one.then_some(kind)).collect();
                let saved: String = config.modules_to_save.iter().map(|module| format!(", {module} saved")).collect();
                let excluded = config.exclude_modules.as_ref().map(|excluded| format!(", without {excluded}"));
                let layers = (!config.layers_to_transform.is_empty())
                    .then(|| format!(", of blocks {:?}", config.layers_to_transform));
                let patterns = [config.rank_pattern.to_string(), config.alpha_pattern.to_string()].concat();
                format!(
                    "r {}, lora_alpha {}{kind}, {}{}{}{patterns}{saved}",
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
        // The output layer's name is the same in both.
        let tells = self.modules().any(|(target, _)| target != Target::Table(ModuleToSave::LmHead))
            || self.saved(ModuleToSave::EmbedTokens).is_some();
        if tells && self.modules.wrapped != config.modules().wrapped {
            let of = |wrapped: bool| if wrapped { "the text model of a wrapper" } else { "a text model" };
            let (expected, got) = (of(config.modules().wrapped), of(self.modules.wrapped));
            let message = format!("expected updates of {expected}, got those of {got}");
            return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
        }
        for (layer, (modules, block)) in self.layers.iter().zip(&blocks).enumerate() {
            for projection in Projection::ALL {
                let is_there = modules[projection.index()].is_some();
                if !is_there && block[projection.index()].is_some() {
                    let message =
                        format!("expected an update of {}, got none", config.modules().layer(layer, projection));
                    return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
                }
                if is_there && !config.projections().contains(&projection) {
                    let names: Vec<_> = config.projections().iter().map(ToString::to_string).collect();
                    let message = format!(
                        "expected updates of the base's layers ({}), got one of {}",
                        names.join(", "),
                        config.modules().layer(layer, projection)
                    );
                    return Err(ModelError::config_with_hint(&self.origin, message, OTHER_BASE));
                }
            }
        }
        let hold = |tensor: String, got: Vec<usize>, expected: Vec<usize>| {
            let path = self.origin.clone();
            let wrong =
                ModelError::Shape { path, tensor, expected: expected.clone(), got: got.clone(), hint: OTHER_BASE };
            if got == expected { Ok(()) } else { Err(wrong) }
        };
        for (target, module) in self.modules() {
            let rank = module.a.dim(0)?;
            for (part, tensor) in module.parts() {
                hold(target.key(self.modules, part), tensor.dims().to_vec(), target.shape(part, rank, config))?;
            }
        }
        for (tensor, table) in self.saved_tables().map(|(name, table)| (name, table.dims().to_vec())) {
            hold(tensor, table, vec![config.vocab_size, config.hidden_size])?;
        }
        for (tensor, table) in self.named_base_tables() {
            let (rows, columns) = table.dims()?;
            hold(tensor, vec![rows, columns], vec![config.vocab_size, config.hidden_size])?;
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

    /// The update of a table.
    pub(crate) fn table_update(&self, module: ModuleToSave) -> Option<&AdapterModule> {
        self.tables[module.index()].as_ref()
    }

    /// Every update: block by block, then those of tables.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (Target, &AdapterModule)> {
        let layers = self.layers.iter().enumerate().flat_map(|(layer, modules)| {
            Projection::ALL
                .into_iter()
                .map(move |projection| (Target::Layer(layer, projection), modules[projection.index()].as_ref()))
        });
        let tables = ModuleToSave::ALL.into_iter().map(|module| (Target::Table(module), self.table_update(module)));
        layers.chain(tables).filter_map(|(target, module)| Some((target, module?)))
    }

    /// The names of what has an update in some block, and of the tables that have one.
    pub(crate) fn targets(&self) -> Vec<String> {
        let has = |projection: &Projection| self.layers.iter().any(|modules| modules[projection.index()].is_some());
        let layers = Projection::ALL.into_iter().filter(has).map(|projection| projection.to_string());
        let tables = ModuleToSave::ALL.into_iter().filter(|module| self.table_update(*module).is_some());
        layers.chain(tables.map(|module| module.to_string())).collect()
    }

    /// The trained copy of a table.
    pub(crate) fn saved(&self, module: ModuleToSave) -> Option<&Weight> {
        self.saved[module.index()].as_ref()
    }

    /// The table that takes the place of the base's.
    pub(crate) fn base_table(&self, module: ModuleToSave) -> Option<&Weight> {
        self.base_tables[module.index()].as_ref()
    }

    /// PEFT's name of a base's table; a file holds only those that have an update.
    fn base_table_key(&self, module: ModuleToSave) -> Option<String> {
        self.table_update(module)?;
        Some(format!("base_model.model.{}.base_layer.weight", self.modules.table(module)))
    }

    /// The base's tables with PEFT's names for them.
    fn named_base_tables(&self) -> impl Iterator<Item = (String, &Weight)> {
        ModuleToSave::ALL
            .into_iter()
            .filter_map(|module| Some((self.base_table_key(module)?, self.base_table(module)?)))
    }

    /// The trained copies of tables with PEFT's names for them.
    fn saved_tables(&self) -> impl Iterator<Item = (String, &Tensor)> {
        ModuleToSave::ALL
            .into_iter()
            .filter_map(|module| Some((table_key(self.modules, module), self.saved(module).and_then(Weight::dense)?)))
    }

    /// Every trained tensor with PEFT's name for it: the updates block by block and those of tables, then the copies of
    /// tables.
    pub fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let base = self.modules;
        let updates = self.modules().flat_map(move |(target, module)| {
            module.parts().map(move |(part, tensor)| (target.key(base, part), tensor))
        });
        updates.chain(self.saved_tables())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint_files::write_floats;
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
