//! AdamW with moments in 8 bits on the CPU, block by block.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::map::{Map, SIGNED, UNSIGNED};
use super::moment::{BLOCK, Moment8bit};
use crate::adamw::{AdamwStep, BitsandbytesStep};
use crate::launch::write;

/// Blocks that one task works through.
const BLOCKS_PER_TASK: usize = 32;

/// Updates a parameter whose two moments are in 8 bits.
pub(super) fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &mut Moment8bit,
    second: &mut Moment8bit,
) -> Result<()> {
    const TASK: usize = BLOCKS_PER_TASK * BLOCK;
    let factors = BitsandbytesStep::new(task);
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

fn update_block(
    f: &BitsandbytesStep,
    p: &mut [f32],
    g: &[f32],
    first: (&mut [u8], &mut f32),
    second: (&mut [u8], &mut f32),
) {
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
