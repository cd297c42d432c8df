//! Scratch: a tensor for one operation's result, whose memory comes from a pool and goes back to it.
//!
//! A training step makes the same few hundred results over and over; asking the system for fresh pages each time took
//! about a third of the time. What a scratch tensor holds at first is left over from its last use: every operation
//! writes its whole destination, or asks for zeros.
//!
//! Free memory fits results of its own size alone. So that passes of many lengths do not each leave theirs behind, the
//! pool lets go of all of it when a pass of another length begins (`begin_pass`).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor};

use crate::element::{Element, convert};
use crate::launch::{launch, view};
use crate::place::Body;

/// What free memory is good for: a type and a number of elements.
type Kind = (&'static str, usize);

/// Only this module touches it.
static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), pass: (0, 0) });

/// Memory between two loans.
struct Pool {
    free: BTreeMap<Kind, Vec<Tensor>>,
    /// Tokens and targets of the pass that the memory was made for.
    pass: (usize, usize),
}

/// Makes the pool ready for a pass over this number of tokens and targets.
pub fn begin_pass(tokens: usize, targets: usize) {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.pass != (tokens, targets) {
        pool.free.clear();
        pool.pass = (tokens, targets);
    }
}

/// Lets go of all memory that nobody has on loan.
pub fn let_go() {
    POOL.lock().unwrap_or_else(PoisonError::into_inner).free.clear();
}

/// Bytes that the pool holds and nobody has on loan: after a pass, all that its results took.
pub fn free_bytes() -> usize {
    let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    pool.free.values().flatten().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
}

/// A tensor on loan from the pool. It has the last use's content until an operation writes it.
#[derive(Debug)]
pub struct Scratch {
    /// The whole loan, one-dimensional; none if the memory is not the pool's.
    whole: Option<Tensor>,
    /// The part in use, in its shape.
    view: Tensor,
}

impl Scratch {
    /// A tensor of f32 with arbitrary content.
    pub fn arbitrary(shape: impl Into<Shape>, device: &Device) -> Result<Self> {
        Self::of_type(shape, DType::F32, device)
    }

    /// A tensor with arbitrary content.
    pub fn of<T: Element>(shape: impl Into<Shape>, device: &Device) -> Result<Self> {
        Self::of_type(shape, T::DTYPE, device)
    }

    fn of_type(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Self> {
        let shape = shape.into();
        if !device.is_cpu() {
            // Other devices have pools of their own.
            return Ok(Tensor::zeros(shape, dtype, device)?.into());
        }
        let elements = shape.elem_count();
        let size = size_class(elements);
        let kind = (dtype.as_str(), size);
        let free = POOL.lock().unwrap_or_else(PoisonError::into_inner).free.get_mut(&kind).and_then(Vec::pop);
        let whole = match free {
            Some(tensor) => tensor,
            None => Tensor::zeros(size, dtype, device)?,
        };
        let view = whole.narrow(0, 0, elements)?.reshape(shape)?;
        Ok(Self { whole: Some(whole), view })
    }

    /// A copy of a tensor of f32.
    pub fn copy_of(tensor: &Tensor) -> Result<Self> {
        Self::converted::<f32, f32>(tensor)
    }

    /// A copy of a tensor, rounded or widened to another type.
    pub fn converted<F: Element, T: Element>(tensor: &Tensor) -> Result<Self> {
        match Body::of(tensor) {
            Body::Cpu => {
                let copy = Self::of::<T>(tensor.shape(), tensor.device())?;
                let from = view::<F>("copy", tensor)?;
                launch::<T, 1, _>("copy", [&copy], |[copy]| copy_rounded(&from, copy))?;
                Ok(copy)
            }
            // A conversion to the type that a tensor has would be the tensor itself, and `copy` takes all that a part is of.
            Body::Composite | Body::Cuda if F::DTYPE == T::DTYPE => Ok(tensor.force_contiguous()?.into()),
            Body::Composite | Body::Cuda => Ok(tensor.to_dtype(T::DTYPE)?.into()),
        }
    }

    /// A tensor of zeros.
    pub fn zeros<T: Element>(shape: impl Into<Shape>, device: &Device) -> Result<Self> {
        let zeros = Self::of::<T>(shape, device)?;
        if !device.is_cpu() {
            return Ok(zeros);
        }
        launch::<T, 1, _>("fill", [&zeros], |[zeros]| zeros.fill(T::zero()))?;
        Ok(zeros)
    }
}

crate::simd::vectorized! {
    fn copy_rounded<F: Element, T: Element>(from: &[F], to: &mut [T]) {
        convert(from, to);
    }
}

/// Sizes are rounded up to an eighth of a power of two, so that batches of about the same length share memory.
fn size_class(elements: usize) -> usize {
    let step = (elements.next_power_of_two() / 16).max(64);
    elements.next_multiple_of(step)
}

impl From<Tensor> for Scratch {
    /// A result that has memory of its own.
    fn from(tensor: Tensor) -> Self {
        Self { whole: None, view: tensor }
    }
}

impl Deref for Scratch {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.view
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(whole) = self.whole.take() {
            let kind = (whole.dtype().as_str(), whole.elem_count());
            POOL.lock().unwrap_or_else(PoisonError::into_inner).free.entry(kind).or_default().push(whole);
        }
    }
}
