//! NF4 with double quantization, byte for byte as bitsandbytes makes it on the CPU.
//!
//! A weight [rows, columns] is flattened row by row into blocks of 64. w ≈ code[nibble] · absmax(block), where
//! absmax(block) = map[c] · nested_absmax(block / 256) + offset: the 16 codes are the quantiles of a normal
//! distribution, `map` is bitsandbytes' signed dynamic map of 256 values, and offset is the mean of all block maxima.
//! The first element of a pair stands in the high nibble. A weight takes 4.13 bits.
//!
//! Quantization happens once, on load or before; nothing here is trained. A matrix that was quantized before may have
//! its maxima in f32 instead, blocks of another size, or the sixteen values of FP4, and its bytes may be those of a mapped
//! file.

mod cascade_sum;
mod codes;
mod matrix;
mod quantize;

pub use self::codes::{BLOCK, BlockFormat, CODES, FP4_CODES, NESTED_BLOCK};
pub use self::matrix::{BlockMaxima, Nf4Matrix};
pub use self::quantize::{Nf4Bytes, quantize};

#[cfg(test)]
mod tests {
    use half::bf16;
    use safetensors::SafeTensors;

    use super::cascade_sum::cascade_sum;
    use super::*;
    use crate::dynamic_map::dynamic_map;
    use crate::element::Element;
    use crate::matmul::{Factor, Operand, Product, RowSource, Shape, Start, multiply};

    fn quantized(values: &[f32]) -> Nf4Bytes {
        quantize(values.len(), |start, target| target.copy_from_slice(&values[start..start + target.len()]))
    }

    #[test]
    fn a_zero_block_packs_to_the_code_of_zero() {
        assert!(quantized(&[0.0; 128]).packed.iter().all(|byte| *byte == 0x77));
    }

    #[test]
    fn a_block_looked_up_at_once_has_the_same_bits() {
        let values: Vec<f32> = (0..64 * 128).map(|i| ((i * 7_919) % 1_009) as f32 / 1_009.0 - 0.5).collect();
        let matrix = Nf4Matrix::new(quantized(&values), 64, 128);
        for row in 0..64 {
            let (mut got, mut rounded) = ([0.0; 128], [bf16::ZERO; 128]);
            matrix.read(row, 0, &mut got);
            matrix.read_bf16(row, 0, &mut rounded);
            for (column, (got, rounded)) in got.iter().zip(rounded).enumerate() {
                let mut one = [0.0];
                // One element is never a whole block.
                matrix.read(row, column, &mut one);
                assert_eq!(got.to_bits(), one[0].to_bits(), "{row}, {column}");
                assert_eq!(rounded.to_bits(), bf16::narrow(one[0]).to_bits(), "{row}, {column}");
            }
        }
    }

    /// Few rows are multiplied by the codes themselves, and many by what is read.
    fn few_rows_have_the_bits_of_many<E: Element>() {
        let number = |i: usize| ((i * 7_919) % 1_009) as f32 / 1_009.0 - 0.5;
        for (rows, columns, block) in
            [(64usize, 192usize, 64), (71, 640, 64), (130, 128, 128), (40, 90, 64), (33, 1_088, 32)]
        {
            let packed: Vec<u8> = (0..rows * columns / 2).map(|i| (i * 37 % 256) as u8).collect();
            let maxima = (0..(rows * columns).div_ceil(block)).map(|i| number(i) * 0.1).collect();
            let format = BlockFormat { codes: CODES, block };
            let plain = Nf4Matrix::from_parts(format, packed.into(), BlockMaxima::Plain(maxima), rows, columns);
            let values: Vec<f32> = (0..rows * columns).map(number).collect();
            let x: Vec<E> = (0..70 * columns).map(|i| E::narrow(number(i + 3))).collect();
            for matrix in [plain, Nf4Matrix::new(quantized(&values), rows, columns)] {
                let run = |count: usize| {
                    let mut y = vec![0.0f32; count * rows];
                    let product =
                        Product { a: Operand::rows_of(&x[..count * columns], columns), b: Factor::Transposed(&matrix) };
                    multiply(&[product], Shape::new(count, rows), &mut y, 1.0, Start::Zero);
                    y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
                };
                let many = run(70);
                for count in [1, 2, 3, 4, 5, 6, 7, 13, 64] {
                    assert_eq!(run(count), many[..count * rows], "{count} rows, [{rows}, {columns}] in {block}");
                }
            }
        }
    }

    #[test]
    fn few_rows_have_the_bits_of_many_in_f32_and_in_bf16() {
        few_rows_have_the_bits_of_many::<f32>();
        few_rows_have_the_bits_of_many::<bf16>();
    }

    #[test]
    fn codes_with_a_scale_that_is_no_number_are_not_lent() {
        let with = |maximum: f32| {
            let maxima = BlockMaxima::Plain(vec![0.5, maximum]);
            Nf4Matrix::from_parts(BlockFormat::default(), vec![0; 64].into(), maxima, 1, 128)
        };
        assert!(with(0.5).codes().is_some());
        assert!(with(f32::INFINITY).codes().is_none() && with(f32::NAN).codes().is_none());
    }

    #[test]
    fn other_blocks_and_codes_are_read_as_they_say() {
        let (rows, columns) = (7usize, 90usize);
        let packed: Vec<u8> = (0..rows * columns / 2).map(|i| (i * 37 % 256) as u8).collect();
        for (codes, block) in [(CODES, 32), (CODES, 128), (FP4_CODES, 64), (FP4_CODES, 4096)] {
            let maxima: Vec<f32> = (0..(rows * columns).div_ceil(block)).map(|i| 0.5 + i as f32).collect();
            let format = BlockFormat { codes, block };
            let maxima_kept = BlockMaxima::Plain(maxima.clone());
            let matrix = Nf4Matrix::from_parts(format, packed.clone().into(), maxima_kept, rows, columns);
            let mut got = vec![0.0; columns];
            for row in 0..rows {
                matrix.read(row, 0, &mut got);
                for (column, got) in got.iter().enumerate() {
                    let at = row * columns + column;
                    let nibble = packed[at / 2] >> (4 * (1 - at % 2)) & 15;
                    assert_eq!(*got, codes[usize::from(nibble)] * maxima[at / block], "{block}, {row}, {column}");
                }
            }
        }
    }

    #[test]
    fn dequantizing_is_within_the_widest_gap_of_the_codes() {
        let values: Vec<f32> = (0..64 * 96).map(|i| ((i * 7_919) % 1_009) as f32 / 1_009.0 - 0.5).collect();
        let matrix = Nf4Matrix::new(quantized(&values), 64, 96);
        // A part of a row that begins and ends within blocks.
        let mut got = [0.0; 71];
        for row in 0..64 {
            matrix.read(row, 13, &mut got);
            for (got, expected) in got.iter().zip(&values[row * 96 + 13..]) {
                assert!((got - expected).abs() < 0.5 * 0.16, "{got} {expected}");
            }
        }
    }

    #[test]
    fn the_cascade_sums_everything_once() {
        for length in [1, 7, 31, 32, 33, 600, 5_000] {
            let x: Vec<f32> = (0..length).map(|i| (i % 13) as f32).collect();
            assert_eq!(cascade_sum(&x), x.iter().sum::<f32>());
        }
    }

    /// `tests/oracle/make_reference.py` made the files with bitsandbytes itself.
    #[test]
    fn every_byte_equals_bitsandbytes() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen2");
        let (packed, model) = (
            std::fs::read(folder.join("nf4_weights.safetensors"))?,
            std::fs::read(folder.join("model/model.safetensors"))?,
        );
        let (packed, model) = (SafeTensors::deserialize(&packed)?, SafeTensors::deserialize(&model)?);
        let floats =
            |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect() };
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
        let mut compared = 0;
        for name in packed.names().into_iter().filter(|name| name.ends_with("weight") || *name == "large") {
            let values = if name == "large" {
                let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
                (0..256 * 160).map(value).collect()
            } else {
                floats(model.tensor(name)?.data())
            };
            let ours = quantized(&values);
            let theirs = |part: &str| packed.tensor(&format!("{name}{part}")).map(|tensor| tensor.data().to_vec());
            assert_eq!(ours.packed, theirs("")?, "{name}");
            assert_eq!(ours.absmax, theirs(".absmax")?, "{name}.absmax");
            assert_eq!(bytes(&ours.nested_absmax), theirs(".nested_absmax")?, "{name}.nested_absmax");
            assert_eq!(bytes(&CODES), theirs(".quant_map")?, "{name}.quant_map");
            assert_eq!(bytes(&dynamic_map()), theirs(".nested_quant_map")?, "{name}.nested_quant_map");
            let state = String::from_utf8(theirs(".quant_state.bitsandbytes__nf4")?)?;
            let offset: f64 =
                serde_json::from_str::<serde_json::Value>(&state)?["nested_offset"].as_f64().ok_or("offset")?;
            assert_eq!(ours.nested_offset.to_bits(), (offset as f32).to_bits(), "{name}: offset {offset}");
            compared += 1;
        }
        assert_eq!(compared, 15);
        Ok(())
    }
}
