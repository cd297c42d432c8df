//! A skeleton: a model of another's widths with few layers, a short vocabulary and weights that mean nothing. It is made
//! from `config.json` alone, and computing with it takes the time and the memory that the real one's layers take.

use candle_core::{Device, Tensor};
use half::{bf16, f16};

use super::weights::Weights;
use super::{BasePrecision, ComputeType, Model, ModelConfig, ModelError, Quantization, StoredType};
use hilora_kernels::integer::{CodeWidth, Groups, IntegerCodes, IntegerMatrix, Zeros};
use hilora_kernels::linear::Weight;
use hilora_kernels::nf4::{BLOCK, NESTED_BLOCK, Nf4Bytes, Nf4Matrix};
use hilora_kernels::scales::Scales;

/// The shape of a skeleton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkeletonShape {
    /// Decoder blocks.
    pub layers: usize,
    /// Token ids; at most the model's.
    pub vocabulary: usize,
    /// The longest sequence; at most the model's.
    pub positions: usize,
}

impl Model {
    /// A skeleton of a model whose base is held in this precision and whose checkpoint is of this type.
    pub fn skeleton(
        config: &ModelConfig,
        shape: SkeletonShape,
        precision: BasePrecision,
        stored: StoredType,
        compute: ComputeType,
    ) -> Result<Self, ModelError> {
        let config = ModelConfig {
            num_hidden_layers: shape.layers,
            vocab_size: shape.vocabulary.min(config.vocab_size),
            max_position_embeddings: shape.positions.min(config.max_position_embeddings),
            ..config.clone()
        };
        let quantization = config.quantization;
        let weights = Weights::build(
            &config,
            &mut |name, shape| {
                let value = if name.ends_with("bias") { 0.0f32 } else { 1.0 };
                Ok(Tensor::full(value, shape, &Device::Cpu)?)
            },
            &mut |_, shape, in_block| match (precision, quantization) {
                (BasePrecision::F32, _) => dense(shape, StoredType::F32),
                (BasePrecision::Bf16, _) => dense(shape, StoredType::Bf16),
                (BasePrecision::Nf4, Quantization::Awq { group_size }) if in_block => Ok(integers(shape, group_size)),
                (BasePrecision::Nf4, _) if in_block => Ok(nf4(shape)),
                (BasePrecision::Nf4, _) => dense(shape, stored),
            },
        )?;
        Self::assemble(config, weights, Device::Cpu)?.computing_in(compute)
    }
}

/// Small values that repeat: none is subnormal, which would be slow.
fn value(index: usize) -> f32 {
    (index * 37 % 101) as f32 * 4e-4 - 0.02
}

fn dense(shape: [usize; 2], stored: StoredType) -> Result<Weight, ModelError> {
    let values = (0..shape[0] * shape[1]).map(value);
    let tensor = |tensor: candle_core::Result<Tensor>| Ok::<_, ModelError>(tensor?.reshape(&shape)?);
    Ok(match stored {
        StoredType::F32 => Weight::F32(tensor(Tensor::from_iter(values, &Device::Cpu))?),
        StoredType::Bf16 => Weight::Bf16(tensor(Tensor::from_iter(values.map(bf16::from_f32), &Device::Cpu))?),
        StoredType::F16 => Weight::F16(tensor(Tensor::from_iter(values.map(f16::from_f32), &Device::Cpu))?),
    })
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 37 % 251) as u8).collect()
}

fn nf4([rows, columns]: [usize; 2]) -> Weight {
    let blocks = (rows * columns).div_ceil(BLOCK);
    let quantized = Nf4Bytes {
        packed: bytes((rows * columns).div_ceil(2)),
        absmax: bytes(blocks),
        nested_absmax: vec![1e-3; blocks.div_ceil(NESTED_BLOCK)],
        nested_offset: 0.02,
    };
    Weight::Nf4(Box::new(Nf4Matrix::new(quantized, rows, columns)))
}

fn integers([rows, columns]: [usize; 2], group_size: Option<usize>) -> Weight {
    let group = group_size.unwrap_or(columns);
    let groups = columns.div_ceil(group);
    let code = |row: usize, column: usize| ((row * 89 + column * 37) % 16) as u8;
    let codes = |columns| IntegerCodes::new(CodeWidth::Four, rows, columns, code);
    let scales = Scales::F16(vec![f16::from_f32(2e-3); rows * groups]);
    let zeros = Zeros::Each(codes(groups));
    Weight::Integer(Box::new(IntegerMatrix::new((rows, columns), codes(columns), scales, zeros, Groups::Even(group))))
}
