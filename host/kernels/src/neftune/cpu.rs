//! NEFTune on the CPU: every row has a sequence of numbers of its own.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::noise::Noise;
use crate::attention::Document;
use crate::launch::write;
use crate::philox::{Purpose, Sequence};

/// Adds the noise to the embeddings of packed documents.
pub(super) fn add(noise: &Noise, x: &Tensor, documents: &[Document]) -> Result<()> {
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
