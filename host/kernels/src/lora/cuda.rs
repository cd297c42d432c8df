//! The mask of dropout on CUDA, by a kernel of ours: a composite would have to draw it on the CPU. NVIDIA's run-time
//! compiler translates `dropout.cu` when a device first asks for it.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::cuda_backend::{CudaError, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Result, Storage, Tensor};

use super::dropout::Dropout;
use crate::philox::key_of;

const DROPOUT: &str = include_str!("dropout.cu");

/// The translated kernels.
fn translated() -> Result<&'static str> {
    static TRANSLATED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let translated = TRANSLATED.get_or_init(|| match compile_ptx(DROPOUT) {
        Ok(code) => Ok(code.to_src()),
        Err(error) => Err(CudaError::from(error).to_string()),
    });
    match translated {
        Ok(code) => Ok(code),
        Err(error) => candle_core::bail!("dropout.cu: {error}"),
    }
}

/// What multiplies every element, 0 or 1 / (1 − p), in f32: the mask that the CPU's body draws.
pub(super) fn mask(dropout: &Dropout, like: &Tensor) -> Result<Tensor> {
    let Device::Cuda(device) = like.device() else { candle_core::bail!("dropout.cu: the tensor is not on CUDA") };
    let shape = like.shape();
    let elements = shape.elem_count();
    let kernel = device.get_or_load_custom_func("dropout_mask", "hilora_dropout", translated()?)?;
    // SAFETY: the kernel writes every element of the mask before anyone reads it.
    let mut mask = unsafe { device.alloc::<f32>(elements)? };
    let [key0, key1] = key_of(dropout.seed);
    let (place, threshold, keep) = (dropout.place(), dropout.threshold(), dropout.keep());
    let count = elements as u64;
    let mut launch = kernel.builder();
    launch.arg(&count).arg(&key0).arg(&key1).arg(&place).arg(&dropout.step).arg(&threshold).arg(&keep).arg(&mut mask);
    // A thread draws four elements.
    let threads = LaunchConfig::for_num_elems(elements.div_ceil(4) as u32);
    // SAFETY: the arguments have the types and the order of the kernel's, and a thread writes no element beyond `count`,
    // which is the mask's length.
    unsafe { launch.launch(threads) }.w()?;
    let storage = CudaStorage::wrap_cuda_slice(mask, device.clone());
    Ok(Tensor::from_storage(Storage::Cuda(storage), shape.clone(), BackpropOp::none(), false))
}
