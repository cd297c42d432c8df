//! Dropout: an element is zeroed with probability p, and the others are divided by 1 − p. The mask is a function of (seed,
//! step, layer, module, element).

use rayon::prelude::*;

use crate::element::Element;
use crate::philox::{Purpose, key_of, philox};

/// One module's dropout in one step.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Probability that an element is zeroed.
    pub probability: f64,
    /// The run's seed.
    pub seed: u64,
    /// The micro-batch, counted over the whole run.
    pub step: u32,
    /// The block's index.
    pub layer: u32,
    /// The projection's index.
    pub module: u32,
}

impl Dropout {
    /// Layer and module share a word of the counter with the purpose: 20, 4 and 8 bits.
    pub(crate) fn place(&self) -> u32 {
        self.layer << 12 | self.module << 8 | Purpose::Dropout as u32
    }

    /// A word below the threshold zeroes its element.
    pub(crate) fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }

    /// What multiplies an element that is kept.
    pub(crate) fn keep(&self) -> f32 {
        (1.0 / (1.0 - self.probability)) as f32
    }

    /// y = drop(x), or y += drop(x).
    pub(crate) fn apply<X: Element, Y: Element>(&self, x: &[X], y: &mut [Y], accumulate: bool) {
        const CHUNK: usize = 4 << 10;
        let (key, place, threshold, keep) = (key_of(self.seed), self.place(), self.threshold(), self.keep());
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (y, x))| {
            for (four, (y, x)) in y.chunks_mut(4).zip(x.chunks(4)).enumerate() {
                let index = (chunk * CHUNK / 4 + four) as u64;
                let words = philox(key, [index as u32, (index >> 32) as u32, place, self.step]);
                for ((y, x), word) in y.iter_mut().zip(x).zip(words) {
                    let value = if word < threshold { 0.0 } else { x.widen() * keep };
                    *y = Y::narrow(if accumulate { y.widen() + value } else { value });
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The positions are those of `dropout.cu`, compiled for the CPU.
    #[test]
    fn dropout_draws_the_mask_of_cudas_kernel() {
        let dropout = Dropout { probability: 0.25, seed: 3, step: 9, layer: 1, module: 2 };
        let mut y = [0.0f32; 23];
        dropout.apply(&[1.0f32; 23], &mut y, false);
        let zeroed: Vec<usize> = (0..y.len()).filter(|i| y[*i] == 0.0).collect();
        assert_eq!(zeroed, [2, 6, 9, 10, 15]);
    }

    #[test]
    fn dropout_keeps_its_share_and_its_mean() {
        let dropout = Dropout { probability: 0.25, seed: 3, step: 9, layer: 1, module: 2 };
        let x = vec![1.0f32; 1 << 18];
        let mut y = vec![0.0f32; x.len()];
        dropout.apply::<f32, f32>(&x, &mut y, false);
        let zeroed = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
        assert!((zeroed - 0.25).abs() < 0.005, "{zeroed}");
        let mut again = vec![0.0f32; x.len()];
        dropout.apply(&x, &mut again, false);
        assert_eq!(y, again);
        Dropout { step: 10, ..dropout }.apply(&x, &mut again, false);
        assert_ne!(y, again);
    }
}
