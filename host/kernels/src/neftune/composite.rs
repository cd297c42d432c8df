//! NEFTune as a composite: the numbers are drawn on the CPU and uploaded, so that they are the same on every device.

use candle_core::{Device, Result, Tensor};

use super::cpu;
use super::noise::Noise;
use crate::attention::Document;
use crate::composite;

/// Adds the noise to the embeddings of packed documents.
pub(super) fn add(noise: &Noise, x: &Tensor, documents: &[Document]) -> Result<()> {
    let noise_alone = Tensor::zeros(x.shape(), x.dtype(), &Device::Cpu)?;
    cpu::add(noise, &noise_alone, documents)?;
    composite::add(x, &noise_alone.to_device(x.device())?)
}
