//! A skeleton: a model of another's widths with few layers, a short vocabulary and weights that mean nothing. It is made
//! from `config.json` alone, and computing with it takes the time and the memory that the real one's layers take.

use candle_core::{Device, Tensor};
use half::{bf16, f16};

use super::weights::Weights;
use super::{BasePrecision, ComputeType, Model, ModelConfig, ModelError, Quantization, ScaleBlock, StoredType};
use hilora_kernels::float8::{Float8, Float8Matrix};
use hilora_kernels::integer::{CodeWidth, Groups, IntegerCodes, IntegerMatrix, Zeros};
use hilora_kernels::linear::Weight;
use hilora_kernels::nf4::{BLOCK, BlockFormat, BlockMaxima, NESTED_BLOCK, Nf4Bytes, Nf4Matrix};
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
                (BasePrecision::Nf4, quantization) if in_block => Ok(quantized(shape, quantization)),
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

fn nf4([rows, columns]: [usize; 2], double_quant: bool) -> Weight {
    let blocks = (rows * columns).div_ceil(BLOCK);
    let packed = bytes((rows * columns).div_ceil(2));
    let matrix = if double_quant {
        let (absmax, nested_absmax) = (bytes(blocks), vec![1e-3; blocks.div_ceil(NESTED_BLOCK)]);
        Nf4Matrix::new(Nf4Bytes { packed, absmax, nested_absmax, nested_offset: 0.02 }, rows, columns)
    } else {
        let maxima = BlockMaxima::Plain(vec![0.02; blocks]);
        Nf4Matrix::from_parts(BlockFormat::default(), packed.into(), maxima, rows, columns)
    };
    Weight::Nf4(Box::new(matrix))
}

/// A linear layer as a quantized checkpoint holds it; without one, quantized on load.
fn quantized(shape: [usize; 2], quantization: Quantization) -> Weight {
    let width = |bits: u8| if bits == 8 { CodeWidth::Eight } else { CodeWidth::Four };
    match quantization {
        Quantization::None => nf4(shape, true),
        Quantization::BitsAndBytes { double_quant } => nf4(shape, double_quant),
        Quantization::Awq { group_size, .. } => integers(shape, CodeWidth::Four, group_size, false, false),
        Quantization::Gptq { bits, group_size, desc_act, .. } => {
            integers(shape, width(bits), group_size, false, desc_act)
        }
        Quantization::PackQuantized { bits, group_size, symmetric } => {
            integers(shape, width(bits), group_size, symmetric, false)
        }
        Quantization::Float8 { scales } => float8(shape, scales),
    }
}

fn integers(
    [rows, columns]: [usize; 2],
    width: CodeWidth,
    group_size: Option<usize>,
    symmetric: bool,
    mapped: bool,
) -> Weight {
    let group = group_size.unwrap_or(columns);
    let groups = columns.div_ceil(group);
    let code = |row: usize, column: usize| ((row * 89 + column * 37) % 16) as u8;
    let codes = |columns| IntegerCodes::new(width, rows, columns, code);
    let scales = Scales::F16(vec![f16::from_f32(2e-3); rows * groups]);
    let zeros = if symmetric { Zeros::Same(8) } else { Zeros::Each(codes(groups)) };
    let of_input = match mapped {
        true => Groups::Map((0..columns).map(|column| (column * 37 % groups) as u32).collect()),
        false => Groups::Even(group),
    };
    Weight::Integer(Box::new(IntegerMatrix::new((rows, columns), codes(columns), scales, zeros, of_input)))
}

fn float8([rows, columns]: [usize; 2], scales: ScaleBlock) -> Weight {
    let block = match scales {
        ScaleBlock::Tensor => (rows, columns),
        ScaleBlock::Channel => (1, columns),
        ScaleBlock::Block(down, across) => (down, across),
    };
    // Small numbers of both signs.
    let codes: Vec<u8> = bytes(rows * columns).into_iter().map(|byte| byte & 0xbf).collect();
    let scales = Scales::F32(vec![2e-2; rows.div_ceil(block.0) * columns.div_ceil(block.1)]);
    Weight::Float8(Box::new(Float8Matrix::new((rows, columns), Float8::E4m3, codes.into(), scales, block)))
}
