//! NEFTune: noise on the embeddings of a training step, x += u with u uniform in ±alpha / √(L · d) for a document of L
//! tokens of width d; x [rows, d].
//!
//! An element's noise is a function of (seed, micro-batch, row, column): a resumed run draws the same. It is no function of
//! x, so that the gradient passes through unchanged.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::attention::Document;
use super::composite;
use super::launch::write;
use super::philox::{Purpose, Sequence};

/// The noise of one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The number of the micro-batch, counted over the whole run.
    pub micro_batch: u32,
    /// The magnitude before it is divided by √(L · d).
    pub alpha: f64,
}

/// Adds the noise to the embeddings of packed documents.
pub fn add(noise: &Noise, x: &Tensor, documents: &[Document]) -> Result<()> {
    if composite::serves(x) {
        // The numbers are drawn on the CPU, so that they are the same on every device.
        let noise_alone = Tensor::zeros(x.shape(), x.dtype(), &Device::Cpu)?;
        add_here(noise, &noise_alone, documents)?;
        return composite::add(x, &noise_alone.to_device(x.device())?);
    }
    add_here(noise, x, documents)
}

fn add_here(noise: &Noise, x: &Tensor, documents: &[Document]) -> Result<()> {
    let (_, width) = x.dims2()?;
    write("neftune", [x], [], |[x], []| {
        for document in documents {
            let magnitude = noise.alpha / ((document.rows.len() * width) as f64).sqrt();
            let first = document.rows.start;
            let rows = &mut x[first * width..document.rows.end * width];
            rows.par_chunks_mut(width).enumerate().for_each(|(row, x)| {
                let stream = u64::from(noise.micro_batch) << 32 | (first + row) as u64;
                let mut numbers = Sequence::new(noise.seed, Purpose::Noise, stream);
                x.iter_mut().for_each(|x| *x += ((2.0 * numbers.uniform() - 1.0) * magnitude) as f32);
            });
        }
    })
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
