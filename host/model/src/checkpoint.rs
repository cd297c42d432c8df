//! A checkpoint: a folder of the Hugging Face layout with `config.json` and safetensors, opened but not yet read.
//!
//! Weights are made from it one by one: a tensor is mapped, converted or quantized by all threads, and let go. Layers
//! that the checkpoint holds quantized keep their codes: bitsandbytes' stay mapped, others are laid out anew.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, StoredFloats, StoredTensor};
use super::compressed_tensors::PackedFormat;
use super::gptq::GptqFormat;
use super::tensor_names::{EMBEDDING, HEAD};
use super::{
    BasePrecision, ModelConfig, ModelError, Quantization, awq, bitsandbytes, compressed_tensors, gptq, stored_float8,
};
use hilora_kernels::integer::{CodeWidth, IntegerMatrix};
use hilora_kernels::linear::Weight;
use hilora_kernels::nf4::{self, BLOCK, Nf4Bytes, Nf4Matrix};

/// An opened checkpoint.
pub(crate) struct Checkpoint {
    folder: PathBuf,
    pub(crate) config: ModelConfig,
    pub(crate) files: CheckpointFiles,
}

impl Checkpoint {
    /// Opens a folder: reads its configuration and the headers of its files. A base that says that its embeddings are
    /// tied, and stores an output layer with other numbers, has two tables.
    pub(crate) fn open(folder: &Path) -> Result<Self, ModelError> {
        let mut config = ModelConfig::load(folder)?;
        let mut files = CheckpointFiles::open_model(folder)?;
        if config.wrapper.is_some() {
            files = files.of_wrapper();
        }
        if config.tie_word_embeddings && stores_another_output(&files)? {
            tracing::info!("{}: `{HEAD}` is not the embedding, so the two are not tied", folder.display());
            config.tie_word_embeddings = false;
        }
        Ok(Self { folder: folder.to_owned(), config, files })
    }

    /// Refuses to widen what was quantized: the numbers of the full weights are gone.
    pub(crate) fn check_precision(&self, precision: BasePrecision) -> Result<(), ModelError> {
        let quantization = self.config.quantization;
        if quantization == Quantization::None || precision == BasePrecision::Nf4 {
            return Ok(());
        }
        let bits = if precision == BasePrecision::F32 { 32 } else { 16 };
        let got = quantization.name();
        Err(ModelError::config_with_hint(
            &self.folder.join("config.json"),
            format!("quantization_config: expected a checkpoint of floats for a base in {bits} bits, got {got}"),
            "train it in mode qlora (`model probe --base nf4`), or take the checkpoint that it was made from",
        ))
    }

    /// A norm or a bias, in f32.
    pub(crate) fn vector(&self, name: &str, shape: &[usize], precision: BasePrecision) -> Result<Tensor, ModelError> {
        let mut values = self.files.floats(name, shape, NOT_THIS_CONFIG)?;
        if precision == BasePrecision::Bf16 {
            values.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32());
        }
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// A matrix; `in_block` says whether it is one of a block's linear layers. They alone are quantized here, beside them a
    /// checkpoint may hold its output layer quantized.
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        in_block: bool,
        precision: BasePrecision,
    ) -> Result<Weight, ModelError> {
        if (in_block || name == HEAD)
            && let Some(weight) = self.quantized(name, shape)?
        {
            return Ok(weight);
        }
        // Of tied embeddings a file may hold the one table under the other name.
        let is_elsewhere = name == EMBEDDING && self.config.tie_word_embeddings && !self.files.contains(name);
        let name = if is_elsewhere && self.files.contains(HEAD) { HEAD } else { name };
        let tensor = self.files.tensor(name)?.of_shape(&shape, NOT_THIS_CONFIG)?;
        let values = || tensor.floats();
        match (precision, self.config.quantization) {
            (BasePrecision::F32, _) => Ok(Weight::F32(Tensor::from_vec(values()?.to_vec(), &shape, &Device::Cpu)?)),
            (BasePrecision::Bf16, _) => {
                Ok(Weight::Bf16(Tensor::from_vec(convert(values()?, bf16::from_f32), &shape, &Device::Cpu)?))
            }
            (BasePrecision::Nf4, Quantization::None) if in_block => {
                Ok(Weight::Nf4(Box::new(Nf4Matrix::new(quantize(&tensor)?, shape[0], shape[1]))))
            }
            // Tables keep the type of the checkpoint: nothing is lost, and they are the largest tensors there are. So
            // do layers that were left out of the quantization.
            (BasePrecision::Nf4, _) => as_stored(tensor, shape),
        }
    }

    /// Whether the checkpoint holds a linear layer quantized.
    pub(crate) fn is_quantized(&self, name: &str) -> Result<bool, ModelError> {
        Ok(match self.config.quantization {
            Quantization::None => false,
            Quantization::BitsAndBytes { .. } => bitsandbytes::is_quantized(&self.files, name),
            Quantization::Float8 { .. } => stored_float8::format(self.files.tensor(name)?.dtype).is_some(),
            Quantization::Awq { .. } | Quantization::Gptq { .. } | Quantization::PackQuantized { .. } => {
                !self.files.contains(name)
            }
        })
    }

    /// A linear layer that the checkpoint holds quantized.
    fn quantized(&self, name: &str, shape: [usize; 2]) -> Result<Option<Weight>, ModelError> {
        let files = &self.files;
        let integers = |matrix: Option<IntegerMatrix>| matrix.map(|matrix| Weight::Integer(Box::new(matrix)));
        let width = |bits: u8| if bits == 8 { CodeWidth::Eight } else { CodeWidth::Four };
        Ok(match self.config.quantization {
            Quantization::None => None,
            Quantization::BitsAndBytes { .. } => {
                bitsandbytes::read(files, name, shape)?.map(|matrix| Weight::Nf4(Box::new(matrix)))
            }
            Quantization::Awq { version, group_size } => integers(awq::read(files, name, shape, version, group_size)?),
            Quantization::Gptq { bits, group_size, zeros_less_one, .. } => {
                let format = GptqFormat { width: width(bits), group_size, zeros_less_one };
                integers(gptq::read(files, name, shape, format)?)
            }
            Quantization::PackQuantized { bits, group_size, symmetric } => {
                let format = PackedFormat { width: width(bits), group_size, symmetric };
                integers(compressed_tensors::read(files, name, shape, format)?)
            }
            Quantization::Float8 { scales } => {
                stored_float8::read(files, name, shape, scales)?.map(|matrix| Weight::Float8(Box::new(matrix)))
            }
        })
    }
}

/// Whether an output layer is stored beside the embedding that is not the same table: transformers 5 keeps both then,
/// whatever `tie_word_embeddings` says.
fn stores_another_output(files: &CheckpointFiles) -> Result<bool, ModelError> {
    if !(files.contains(HEAD) && files.contains(EMBEDDING)) {
        return Ok(false);
    }
    let (output, embedding) = (files.tensor(HEAD)?, files.tensor(EMBEDDING)?);
    Ok(output.shape != embedding.shape || !output.floats()?.equal(embedding.floats()?))
}

/// The first value that is infinite or not a number.
fn not_finite(values: StoredFloats<'_>) -> Option<usize> {
    const STRIP: usize = 1 << 12;
    let strips = values.len().div_ceil(STRIP);
    (0..strips).into_par_iter().find_map_first(|strip| {
        let (mut widened, start) = ([0.0; STRIP], strip * STRIP);
        let widened = &mut widened[..STRIP.min(values.len() - start)];
        values.read(start, widened);
        widened.iter().position(|value| !value.is_finite()).map(|at| start + at)
    })
}

/// NF4 of a matrix, widened strip by strip. A value that is not finite has no code: the nearest would be an ordinary
/// number.
pub(crate) fn quantize(tensor: &StoredTensor<'_>) -> Result<Nf4Bytes, ModelError> {
    let values = tensor.floats()?;
    if let Some(at) = not_finite(values) {
        let mut value = [0.0];
        values.read(at, &mut value);
        let columns = tensor.shape.last().copied().unwrap_or(1).max(1);
        let message = format!(
            "row {}, column {}: expected a finite number to quantize, got {}",
            at / columns,
            at % columns,
            value[0]
        );
        return Err(tensor.wrong(&message));
    }
    if !values.len().is_multiple_of(BLOCK) {
        return Err(tensor.wrong(&format!("NF4 needs a multiple of {BLOCK} elements, got {:?}", tensor.shape)));
    }
    Ok(nf4::quantize(values.len(), |start, target| values.read(start, target)))
}

/// A dense matrix in the type that its file has.
pub(crate) fn as_stored(tensor: StoredTensor<'_>, shape: [usize; 2]) -> Result<Weight, ModelError> {
    if let Some(format) = stored_float8::format(tensor.dtype) {
        return Ok(Weight::Float8(Box::new(stored_float8::unscaled(tensor, shape, format))));
    }
    let shape = &shape[..];
    let values = tensor.floats()?;
    // Widening to f32 and rounding back is exact.
    Ok(match values {
        StoredFloats::F32(_) => Weight::F32(Tensor::from_vec(values.to_vec(), shape, &Device::Cpu)?),
        StoredFloats::Bf16(_) => Weight::Bf16(Tensor::from_vec(convert(values, bf16::from_f32), shape, &Device::Cpu)?),
        // It is kept as it is, above.
        StoredFloats::Float8(..) => return Err(tensor.wrong_type("F32, BF16 or F16")),
        StoredFloats::F16(_) => Weight::F16(Tensor::from_vec(convert(values, f16::from_f32), shape, &Device::Cpu)?),
    })
}

/// Values in another type, strip by strip.
fn convert<T: Copy + Default + Send + Sync>(values: StoredFloats<'_>, to: impl Fn(f32) -> T + Sync) -> Vec<T> {
    const STRIP: usize = 1 << 12;
    let mut converted = vec![T::default(); values.len()];
    converted.par_chunks_mut(STRIP).enumerate().for_each(|(strip, target)| {
        let mut widened = [0.0; STRIP];
        let widened = &mut widened[..target.len()];
        values.read(strip * STRIP, widened);
        target.iter_mut().zip(widened).for_each(|(target, value)| *target = to(*value));
    });
    converted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_tensor::{Content, NewTensor, write_tensors};
    use crate::small_model::{SMALL_CONFIG, small_model};
    use crate::{ComputeDevice, Model};
    use safetensors::Dtype;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// A folder with the small model, whose config.json says what is given.
    fn written(model: &Model, config: &str) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("config.json"), config)?;
        model.save_weights(folder.path(), Dtype::F32)?;
        Ok(folder)
    }

    /// The logits of a folder's model for a few tokens.
    fn logits(folder: &Path) -> Result<Vec<f32>, ModelError> {
        let model = Model::load(folder, BasePrecision::Nf4)?;
        let mut documents = crate::PackedDocuments::default();
        documents.push(&[3, 1, 4, 1, 5], |_| true);
        model.logits(&*model.hidden(&documents, None)?, &[0, 2, 4], None)
    }

    #[test]
    fn codes_may_be_stored_as_floats_and_the_output_layer_in_4_bits() -> Outcome {
        let untied = SMALL_CONFIG.replace(r#""tie_word_embeddings":true"#, r#""tie_word_embeddings":false"#);
        let model = Model::random(ModelConfig::parse(Path::new("config.json"), &untied)?, 5, ComputeDevice::Cpu)?;
        let floats = written(&model, &untied)?;
        let folder = tempfile::tempdir()?;
        let quantized = folder.path().join("quantized");
        let go_on = |_: usize, _: usize| std::ops::ControlFlow::Continue(());
        crate::quantize_checkpoint(floats.path(), &quantized, false, &go_on)?;
        let expected = logits(&quantized)?;

        let (files, base) = (CheckpointFiles::open_model(&quantized)?, CheckpointFiles::open_model(floats.path())?);
        // The same bytes as values of 16 bits.
        let mut tensors = std::collections::BTreeMap::new();
        for name in files.names() {
            let mut tensor = NewTensor::copy_of(files.tensor(name)?);
            if tensor.dtype == Dtype::U8 && tensor.shape.len() == 2 {
                (tensor.dtype, tensor.shape[0]) = (Dtype::BF16, tensor.shape[0] / 2);
            }
            tensors.insert(name.to_owned(), tensor);
        }
        let other = tempfile::tempdir()?;
        let path = other.path().join("model.safetensors");
        std::fs::copy(quantized.join("config.json"), other.path().join("config.json"))?;
        write_tensors(&path, &path, tensors)?;
        assert_eq!(logits(other.path())?, expected);

        // An output layer in 4 bits has the values of its codes.
        let head = base.tensor(HEAD)?;
        let codes = quantize(&head)?;
        let matrix = Nf4Matrix::new(codes.clone(), 96, 64);
        let mut values = vec![0.0; 96 * 64];
        for (row, values) in values.chunks_mut(64).enumerate() {
            hilora_kernels::matmul::RowSource::read(&matrix, row, 0, values);
        }
        let tensors = |parts: Vec<bitsandbytes::OwnedTensor>| -> Result<_, ModelError> {
            let mut tensors = std::collections::BTreeMap::new();
            for name in files.names().filter(|name| *name != HEAD) {
                tensors.insert(name.to_owned(), NewTensor::copy_of(files.tensor(name)?));
            }
            tensors.extend(parts.into_iter().map(|(name, dtype, shape, bytes)| {
                (name, NewTensor { dtype, shape, bytes: bytes.len(), content: Content::Made(bytes) })
            }));
            Ok(tensors)
        };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_tensors(&path, &path, tensors(vec![(HEAD.to_owned(), Dtype::F32, vec![96, 64], bytes)])?)?;
        let expected = logits(other.path())?;
        write_tensors(&path, &path, tensors(bitsandbytes::tensors(&head, codes)?)?)?;
        assert_eq!(logits(other.path())?, expected);
        Ok(())
    }

    #[test]
    fn one_table_under_the_output_layers_name_is_both() -> Outcome {
        let model = small_model(4)?;
        let folder = written(&model, SMALL_CONFIG)?;
        let files = CheckpointFiles::open_model(folder.path())?;
        let renamed = |name: &str| if name == EMBEDDING { HEAD.to_owned() } else { name.to_owned() };
        let mut tensors = std::collections::BTreeMap::new();
        for name in files.names() {
            tensors.insert(renamed(name), NewTensor::copy_of(files.tensor(name)?));
        }
        let other = tempfile::tempdir()?;
        std::fs::copy(folder.path().join("config.json"), other.path().join("config.json"))?;
        let path = other.path().join("model.safetensors");
        write_tensors(&path, &path, tensors)?;
        assert_eq!(logits(other.path())?, logits(folder.path())?);
        Ok(())
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused_where_it_is_quantized() -> Outcome {
        for (value, told) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let model = small_model(4)?;
            let weight = model.weights.blocks[1].linear(crate::Projection::UpProj)?.weight.dense().ok_or("no f32")?;
            weight.slice_set(&Tensor::full(value, (96, 64), &Device::Cpu)?, 0, 0)?;
            let folder = written(&model, SMALL_CONFIG)?;
            let error = Model::load(folder.path(), BasePrecision::Nf4).err().ok_or("it was quantized")?.to_string();
            let expected = format!(
                "tensor `model.layers.1.mlp.up_proj.weight`: row 0, column 0: expected a finite number to quantize, got {told}"
            );
            assert!(error.contains(&expected), "{error}");
            Model::load(folder.path(), BasePrecision::F32)?;
        }
        Ok(())
    }

    /// transformers 5 does the same: `PreTrainedModel.tie_weights` ties what is equal.
    #[test]
    fn tables_that_differ_are_two_whatever_the_config_says() -> Outcome {
        let untied = SMALL_CONFIG.replace(r#""tie_word_embeddings":true"#, r#""tie_word_embeddings":false"#);
        let model = Model::random(ModelConfig::parse(Path::new("config.json"), &untied)?, 5, ComputeDevice::Cpu)?;
        let folder = written(&model, SMALL_CONFIG)?;
        let loaded = Model::load(folder.path(), BasePrecision::F32)?;
        assert!(!loaded.config().tie_word_embeddings);
        let values = |weight: &Weight| weight.dense().map(Tensor::to_vec2::<f32>).transpose();
        assert_eq!(values(loaded.weights.output())?, values(model.weights.output())?);
        assert_ne!(values(loaded.weights.output())?, values(&loaded.weights.embedding)?);

        // What is equal is one table, which a copy of the embedding in the place of the output layer shows.
        let head = model.weights.head.as_ref().and_then(Weight::dense).ok_or("no head")?;
        head.slice_set(model.weights.embedding.dense().ok_or("no table")?, 0, 0)?;
        let folder = written(&model, SMALL_CONFIG)?;
        assert!(Model::load(folder.path(), BasePrecision::F32)?.config().tie_word_embeddings);
        Ok(())
    }
}
