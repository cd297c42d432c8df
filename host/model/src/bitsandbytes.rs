//! A 4-bit matrix as it stands in a checkpoint of bitsandbytes: six tensors, or four if its block maxima are in f32.
//!
//! `X` u8 [elements / 2, 1], or the same bytes as another type (`bnb_4bit_quant_storage`); `X.absmax` u8 [blocks], f32 if
//! it is not nested; `X.quant_map` f32 [16]; `X.nested_absmax` f32 [blocks / 256]; `X.nested_quant_map` f32 [256];
//! `X.quant_state.bitsandbytes__nf4`, or `…__fp4`: JSON as u8, which names the block size, too.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, StoredTensor};
use hilora_kernels::dynamic_map::dynamic_map;
use hilora_kernels::nf4::{BLOCK, BlockFormat, BlockMaxima, CODES, FP4_CODES, NESTED_BLOCK, Nf4Bytes, Nf4Matrix};

const NF4_STATE: &str = "quant_state.bitsandbytes__nf4";
const FP4_STATE: &str = "quant_state.bitsandbytes__fp4";
/// Elements that may share a maximum.
const BLOCK_SIZES: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
const OTHER_STATE: &str = "the parts of a quantized matrix must belong together; fetch the checkpoint again";

/// What the JSON beside a matrix says.
#[derive(Serialize, Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: usize,
    /// What bitsandbytes rounds to after dequantizing; here the product decides that.
    dtype: String,
    shape: Vec<usize>,
    #[serde(flatten)]
    nested: Option<NestedState>,
}

#[derive(Serialize, Deserialize)]
struct NestedState {
    nested_blocksize: usize,
    nested_dtype: String,
    nested_offset: f64,
}

/// Whether this checkpoint holds a matrix in 4 bits.
pub(crate) fn is_quantized(files: &CheckpointFiles, name: &str) -> bool {
    [NF4_STATE, FP4_STATE].iter().any(|state| files.contains(&format!("{name}.{state}")))
}

/// Reads a matrix; `None` if this checkpoint holds it as floats.
pub(crate) fn read(files: &CheckpointFiles, name: &str, shape: [usize; 2]) -> Result<Option<Nf4Matrix>, ModelError> {
    let part = |part: &str| format!("{name}.{part}");
    let types = [(NF4_STATE, "nf4", CODES), (FP4_STATE, "fp4", FP4_CODES)];
    let Some((state_name, kind, codes)) = types
        .map(|(state, kind, codes)| (part(state), kind, codes))
        .into_iter()
        .find(|(state, ..)| files.contains(state))
    else {
        return Ok(None);
    };
    let state_tensor = files.tensor(&state_name)?.of_type(Dtype::U8, "U8")?;
    let state: QuantState =
        serde_json::from_slice(&state_tensor.bytes).map_err(|e| state_tensor.wrong(&format!("not its JSON: {e}")))?;
    let expect = |field: &str, got: &str, expected: &str| {
        if got == expected {
            return Ok(());
        }
        Err(state_tensor.wrong(&format!("{field}: expected {expected}, got {got}")))
    };
    expect("quant_type", &state.quant_type, kind)?;
    let block = state.blocksize;
    if !BLOCK_SIZES.contains(&block) {
        expect("blocksize", &block.to_string(), "a power of two from 32 to 4096")?;
    }
    expect("shape", &format!("{:?}", state.shape), &format!("{shape:?}"))?;
    let elements = shape[0] * shape[1];
    let blocks = elements.div_ceil(block);

    let stored = floats(files, &part("quant_map"), codes.len())?;
    if stored.iter().zip(codes).any(|(got, expected)| *got != expected) {
        return Err(files.tensor(&part("quant_map"))?.wrong(&format!("expected the 16 codes of {kind}, got others")));
    }
    let packed = files.tensor(name)?;
    let size = match packed.dtype {
        Dtype::U8 => 1,
        Dtype::BF16 | Dtype::F16 => 2,
        Dtype::F32 => 4,
        _ => return Err(packed.wrong_type("U8, BF16, F16 or F32")),
    };
    let packed = packed.of_shape(&[elements.div_ceil(2) / size, 1], OTHER_STATE)?.bytes;
    if packed.len() != elements.div_ceil(2) {
        let (expected, got) = (elements.div_ceil(2), packed.len());
        return Err(files.tensor(name)?.wrong(&format!("expected {expected} bytes of codes, got {got}")));
    }
    let absmax = part("absmax");
    let maxima = match state.nested {
        None => BlockMaxima::Plain(floats(files, &absmax, blocks)?),
        Some(nested) => {
            expect("nested_blocksize", &nested.nested_blocksize.to_string(), &NESTED_BLOCK.to_string())?;
            let mut map = Box::new([0.0; 256]);
            map.copy_from_slice(&floats(files, &part("nested_quant_map"), 256)?);
            BlockMaxima::Nested {
                codes: files.tensor(&absmax)?.of_type(Dtype::U8, "U8")?.of_shape(&[blocks], OTHER_STATE)?.bytes,
                absmax: floats(files, &part("nested_absmax"), blocks.div_ceil(NESTED_BLOCK))?,
                offset: nested.nested_offset as f32,
                map,
            }
        }
    };
    Ok(Some(Nf4Matrix::from_parts(BlockFormat { codes, block }, packed, maxima, shape[0], shape[1])))
}

fn floats(files: &CheckpointFiles, name: &str, count: usize) -> Result<Vec<f32>, ModelError> {
    let tensor = files.tensor(name)?.of_type(Dtype::F32, "F32")?.of_shape(&[count], OTHER_STATE)?;
    Ok(tensor.floats()?.to_vec())
}

/// A tensor's name, type, shape and bytes.
pub(crate) type OwnedTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// The six tensors of a matrix that was quantized here.
pub(crate) fn tensors(source: &StoredTensor<'_>, quantized: Nf4Bytes) -> Result<Vec<OwnedTensor>, ModelError> {
    let name = source.name;
    let state = QuantState {
        quant_type: "nf4".to_owned(),
        blocksize: BLOCK,
        dtype: match source.dtype {
            Dtype::BF16 => "bfloat16",
            Dtype::F16 => "float16",
            _ => "float32",
        }
        .to_owned(),
        shape: source.shape.to_vec(),
        nested: Some(NestedState {
            nested_blocksize: NESTED_BLOCK,
            nested_dtype: "float32".to_owned(),
            nested_offset: f64::from(quantized.nested_offset),
        }),
    };
    let state = serde_json::to_vec(&state).map_err(|e| source.wrong(&e.to_string()))?;
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let part = |part: &str| format!("{name}.{part}");
    let nested = bytes(&quantized.nested_absmax);
    Ok(vec![
        (name.to_owned(), Dtype::U8, vec![quantized.packed.len(), 1], quantized.packed),
        (part("absmax"), Dtype::U8, vec![quantized.absmax.len()], quantized.absmax),
        (part("quant_map"), Dtype::F32, vec![CODES.len()], bytes(&CODES)),
        (part("nested_absmax"), Dtype::F32, vec![nested.len() / 4], nested),
        (part("nested_quant_map"), Dtype::F32, vec![256], bytes(&dynamic_map())),
        (part(NF4_STATE), Dtype::U8, vec![state.len()], state),
    ])
}
