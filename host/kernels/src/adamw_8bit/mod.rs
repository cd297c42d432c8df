//! AdamW as bitsandbytes computes it on the CPU, with moments in 8 bits. (Those of small tensors are in 32: `adamw`.)
//!
//! A moment of n elements is n codes and ⌈n / 256⌉ block maxima: x ≈ map[code] · absmax(block). The first moment uses
//! the signed dynamic map, the second the unsigned one. A step widens both, m = β1 m + (1 − β1) g,
//! v = β2 v + (1 − β2) g², p *= 1 − lr · wd, p −= lr / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + eps), and rounds the moments
//! to the nearest code again. The states equal bitsandbytes' bit for bit; a parameter may differ in its last bit,
//! because torch's square root is not the correctly rounded one.

mod composite;
mod cpu;
mod map;
mod moment;

use candle_core::{Result, Tensor};

pub use self::moment::{ELEMENTS_MIN, Moment8bit};
use crate::adamw::AdamwStep;
use crate::place::Body;

/// Updates a parameter whose two moments are in 8 bits.
pub fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &mut Moment8bit,
    second: &mut Moment8bit,
) -> Result<()> {
    match Body::of(parameter) {
        Body::Cpu => cpu::step(task, parameter, gradient, first, second),
        Body::Composite | Body::Cuda => composite::step(task, parameter, gradient, first, second),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use safetensors::SafeTensors;

    use super::map::{SIGNED, UNSIGNED};
    use super::moment::BLOCK;
    use super::*;
    use crate::adamw::{self, Rounding};

    const LEARNING_RATE: f64 = 1e-2;
    const LARGE: usize = 16 * 300;
    const SMALL: usize = 8 * 100;

    /// What `tests/oracle/make_reference.py` fills its tensors with.
    fn formula(count: usize, offset: u32) -> Vec<f32> {
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
        (0..count as u32).map(|i| value(i + offset)).collect()
    }

    fn gradient(count: usize, step: usize) -> Vec<f32> {
        let scale = |i: usize| 0.5f32.powi((i / BLOCK) as i32);
        formula(count, 7_919 * step as u32).iter().enumerate().map(|(i, x)| x * scale(i)).collect()
    }

    fn task(step: usize) -> AdamwStep {
        AdamwStep {
            step,
            learning_rate: LEARNING_RATE,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_scale: 1.0,
        }
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|x| x.to_bits()).collect()
    }

    /// A parameter differs by what torch's square root is off: a thousandth of a thousandth of a step.
    fn assert_close(got: &Tensor, expected: &[f32]) -> Result<()> {
        for (got, expected) in got.to_vec1::<f32>()?.iter().zip(expected) {
            assert!(f64::from((got - expected).abs()) < LEARNING_RATE * 1e-5, "expected {expected}, got {got}");
        }
        Ok(())
    }

    /// `tests/oracle/make_reference.py` made the file with bitsandbytes itself.
    #[test]
    fn states_equal_bitsandbytes_bit_for_bit() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle");
        let bytes = std::fs::read(folder.join("adamw_8bit.safetensors"))?;
        let reference = SafeTensors::deserialize(&bytes)?;
        let theirs = |name: &str| reference.tensor(name).map(|tensor| tensor.data().to_vec());
        assert_eq!(bits(&SIGNED.values), bits(&floats(&theirs("qmap1")?)));
        assert_eq!(bits(&UNSIGNED.values), bits(&floats(&theirs("qmap2")?)));
        let large = Tensor::new(formula(LARGE, 0), &Device::Cpu)?;
        let (mut m, mut v) = (Moment8bit::zeros(LARGE), Moment8bit::zeros(LARGE));
        let small = Tensor::new(formula(SMALL, 0), &Device::Cpu)?;
        let (m32, v32) = (small.zeros_like()?, small.zeros_like()?);
        for t in 1..=6 {
            step(&task(t), &large, &Tensor::new(gradient(LARGE, t), &Device::Cpu)?, &mut m, &mut v)?;
            let of_small = Tensor::new(gradient(SMALL, t), &Device::Cpu)?;
            adamw::step(&task(t), Rounding::Bitsandbytes, &small, &of_small, (&m32, &v32))?;
            if t != 1 && t != 6 {
                continue;
            }
            assert_eq!(m.codes, theirs(&format!("{t}.large.state1"))?, "step {t}: m");
            assert_eq!(v.codes, theirs(&format!("{t}.large.state2"))?, "step {t}: v");
            assert_eq!(bits(&m.absmax), bits(&floats(&theirs(&format!("{t}.large.absmax1"))?)), "step {t}");
            assert_eq!(bits(&v.absmax), bits(&floats(&theirs(&format!("{t}.large.absmax2"))?)), "step {t}");
            assert_eq!(bits(&m32.to_vec1()?), bits(&floats(&theirs(&format!("{t}.small.state1"))?)), "step {t}");
            assert_eq!(bits(&v32.to_vec1()?), bits(&floats(&theirs(&format!("{t}.small.state2"))?)), "step {t}");
            assert_close(&large, &floats(&theirs(&format!("{t}.large"))?))?;
            assert_close(&small, &floats(&theirs(&format!("{t}.small"))?))?;
        }
        Ok(())
    }
}
