//! AdamW as bitsandbytes computes it on the CPU, with states in 8 bits or, for small tensors, in 32.
//!
//! A moment of n elements is n codes and ⌈n / 256⌉ block maxima: x ≈ map[code] · absmax(block). The first moment uses
//! the signed dynamic map, the second the unsigned one. A step widens both, m = β1 m + (1 − β1) g,
//! v = β2 v + (1 − β2) g², p *= 1 − lr · wd, p −= lr / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + eps), and rounds the moments
//! to the nearest code again. The states equal bitsandbytes' bit for bit; a parameter may differ in its last bit,
//! because torch's square root is not the correctly rounded one.

use std::sync::LazyLock;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::adamw::AdamwStep;
use super::composite;
use super::launch::write;
use super::nf4::{dynamic_map, nearest_codes, unsigned_dynamic_map};

/// Elements that share one maximum.
const BLOCK: usize = 256;
/// Blocks that one task works through.
const BLOCKS_PER_TASK: usize = 32;
/// Smaller tensors keep their moments in 32 bits.
pub const ELEMENTS_MIN: usize = 4096;

/// A map of 256 values and the way back to its codes.
struct Map {
    values: [f32; 256],
    nearest: Vec<u8>,
}

static SIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(dynamic_map()));
static UNSIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(unsigned_dynamic_map()));

impl Map {
    fn new(values: [f32; 256]) -> Self {
        Self { nearest: nearest_codes(&values), values }
    }

    /// Rounds a block to codes; returns its maximum.
    fn quantize(&self, block: &[f32], codes: &mut [u8]) -> f32 {
        let maximum = block.iter().fold(0.0, |maximum: f32, x| maximum.max(x.abs()));
        let inverse = 1.0 / maximum.max(f32::MIN_POSITIVE);
        for (code, x) in codes.iter_mut().zip(block) {
            let index = ((x * inverse + 1.0) * 0.5 * 65_535.0 + 0.5).floor();
            *code = self.nearest[index.clamp(0.0, 65_535.0) as usize];
        }
        maximum
    }
}

/// One moment of a tensor in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment8bit {
    /// A code for each element.
    pub codes: Vec<u8>,
    /// The greatest absolute value of each block.
    pub absmax: Vec<f32>,
}

impl Moment8bit {
    /// A moment of zero.
    pub fn zeros(elements: usize) -> Self {
        Self { codes: vec![0; elements], absmax: vec![0.0; elements.div_ceil(BLOCK)] }
    }
}

/// The step's constants in f32.
struct Factors {
    scale: f32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    fresh1: f32,
    fresh2: f32,
    /// √(1 − β2ᵗ)
    root_correction: f32,
    /// −lr / (1 − β1ᵗ)
    step_size: f32,
    epsilon: f32,
    /// The two above as the update in 32 bits takes them: −lr √(1 − β2ᵗ) / (1 − β1ᵗ) and eps √(1 − β2ᵗ).
    corrected_step_size: f32,
    corrected_epsilon: f32,
}

impl Factors {
    fn new(task: &AdamwStep) -> Self {
        let t = task.step as i32;
        let (correction1, correction2) = (1.0 - task.beta1.powi(t), (1.0 - task.beta2.powi(t)).sqrt());
        Self {
            scale: task.gradient_scale as f32,
            decay: (1.0 - task.learning_rate * task.weight_decay) as f32,
            beta1: task.beta1 as f32,
            beta2: task.beta2 as f32,
            fresh1: (1.0 - task.beta1) as f32,
            fresh2: (1.0 - task.beta2) as f32,
            root_correction: correction2 as f32,
            step_size: (-task.learning_rate / correction1) as f32,
            epsilon: task.epsilon as f32,
            corrected_step_size: (-task.learning_rate * correction2 / correction1) as f32,
            corrected_epsilon: (task.epsilon * correction2) as f32,
        }
    }

    /// The moments' update, with torch's roundings: a product, then one fused multiply and add.
    fn moments(&self, m: f32, v: f32, g: f32) -> (f32, f32) {
        (g.mul_add(self.fresh1, m * self.beta1), (self.fresh2 * g).mul_add(g, v * self.beta2))
    }
}

/// Updates a parameter whose two moments are in 8 bits.
pub fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &mut Moment8bit,
    second: &mut Moment8bit,
) -> Result<()> {
    if composite::serves(parameter) {
        // The states stay in host memory, and so does the step.
        return composite::adamw::on_the_host(parameter, gradient, |parameter, gradient| {
            step_here(task, parameter, gradient, first, second)
        });
    }
    step_here(task, parameter, gradient, first, second)
}

fn step_here(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &mut Moment8bit,
    second: &mut Moment8bit,
) -> Result<()> {
    const TASK: usize = BLOCKS_PER_TASK * BLOCK;
    let factors = Factors::new(task);
    write("adamw_8bit", [parameter], [gradient], |[p], [g]| {
        (
            p.par_chunks_mut(TASK),
            g.par_chunks(TASK),
            first.codes.par_chunks_mut(TASK),
            first.absmax.par_chunks_mut(BLOCKS_PER_TASK),
            second.codes.par_chunks_mut(TASK),
            second.absmax.par_chunks_mut(BLOCKS_PER_TASK),
        )
            .into_par_iter()
            .for_each(|(p, g, m, m_absmax, v, v_absmax)| {
                let blocks = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK));
                let moments = m.chunks_mut(BLOCK).zip(m_absmax).zip(v.chunks_mut(BLOCK).zip(v_absmax));
                for ((p, g), (m, v)) in blocks.zip(moments) {
                    update_block(&factors, p, g, m, v);
                }
            });
    })
}

fn update_block(f: &Factors, p: &mut [f32], g: &[f32], first: (&mut [u8], &mut f32), second: (&mut [u8], &mut f32)) {
    let ((m_codes, m_absmax), (v_codes, v_absmax)) = (first, second);
    let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
        let widened = |map: &Map, code: u8, absmax: f32| map.values[usize::from(code)] * absmax;
        (m[i], v[i]) =
            f.moments(widened(&SIGNED, m_codes[i], *m_absmax), widened(&UNSIGNED, v_codes[i], *v_absmax), g * f.scale);
        *p = *p * f.decay + f.step_size * m[i] / (v[i].sqrt() / f.root_correction + f.epsilon);
    }
    *m_absmax = SIGNED.quantize(&m[..g.len()], m_codes);
    *v_absmax = UNSIGNED.quantize(&v[..g.len()], v_codes);
}

/// Updates a parameter whose two moments are in 32 bits, with bitsandbytes' roundings.
pub fn step_32bit(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<()> {
    if composite::serves(parameter) {
        return composite::adamw::step(task, parameter, gradient, first, second);
    }
    let f = Factors::new(task);
    write("adamw_32bit", [parameter, first, second], [gradient], |[p, m, v], [g]| {
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            (*m, *v) = f.moments(*m, *v, g * f.scale);
            *p = (*m / (v.sqrt() + f.corrected_epsilon)).mul_add(f.corrected_step_size, *p * f.decay);
        }
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use safetensors::SafeTensors;

    use super::*;

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
            step_32bit(&task(t), &small, &Tensor::new(gradient(SMALL, t), &Device::Cpu)?, &m32, &v32)?;
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
