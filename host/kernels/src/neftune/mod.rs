//! NEFTune: noise on the embeddings of a training step, x += u with u uniform in ±alpha / √(L · d) for a document of L
//! tokens of width d; x [rows, d].
//!
//! An element's noise is a function of (seed, micro-batch, row, column): a resumed run draws the same. It is no function of
//! x, so that the gradient passes through unchanged.

mod composite;
mod cpu;
mod noise;

use candle_core::{Result, Tensor};

pub use self::noise::Noise;
use crate::attention::Document;
use crate::place::Body;

/// Adds the noise to the embeddings of packed documents.
pub fn add(noise: &Noise, x: &Tensor, documents: &[Document]) -> Result<()> {
    match Body::of(x) {
        Body::Cpu => cpu::add(noise, x, documents),
        Body::Composite | Body::Cuda => composite::add(noise, x, documents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn noise_is_uniform_within_its_bound_and_the_same_each_time() -> Result<()> {
        let documents = [Document { rows: 0..4, seen: 4 }, Document { rows: 4..104, seen: 100 }];
        let noise = |micro_batch| -> Result<Vec<Vec<f32>>> {
            let x = Tensor::zeros((104, 32), candle_core::DType::F32, &Device::Cpu)?;
            add(&Noise { seed: 1, micro_batch, alpha: 5.0 }, &x, &documents)?;
            x.to_vec2()
        };
        let rows = noise(3)?;
        assert_eq!(rows, noise(3)?);
        assert_ne!(rows, noise(4)?);
        for (document, length) in [(&rows[..4], 4.0), (&rows[4..], 100.0)] {
            let bound = 5.0 / (length * 32.0f64).sqrt();
            let values: Vec<f64> = document.iter().flatten().map(|x| f64::from(*x)).collect();
            let count = values.len() as f64;
            let greatest = values.iter().fold(0.0, |greatest: f64, x| greatest.max(x.abs()));
            assert!(greatest <= bound * 1.000_001 && greatest > 0.9 * bound, "{greatest} of {bound}");
            let square = values.iter().map(|x| x * x).sum::<f64>() / count;
            // A uniform distribution's variance is a third of its bound's square.
            assert!((square / (bound * bound) - 1.0 / 3.0).abs() < 0.1, "{square}");
        }
        Ok(())
    }
}
