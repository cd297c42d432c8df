//! A launch: one operation over tensors, as a candle in-place operation with a body per device.
//!
//! candle hands an in-place operation one destination; operations here may have several, so a launch nests one
//! in-place operation per destination around the body. There is a CPU body today; on another device a launch is an
//! error that names the operation. A destination never shares its memory with a source: what is updated in place is
//! a destination only.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};

/// Writes f32 destinations from f32 sources.
pub(crate) fn write<const D: usize, const S: usize>(
    name: &'static str,
    destinations: [&Tensor; D],
    sources: [&Tensor; S],
    body: impl FnOnce([&mut [f32]; D], [&[f32]; S]),
) -> Result<()> {
    read(name, sources, |sources| {
        nest(name, &destinations, Vec::with_capacity(D), |slices: Vec<&mut [f32]>| {
            // `nest` hands over exactly one slice per destination.
            if let Ok(slices) = slices.try_into() {
                body(slices, sources);
            }
        })
    })?
}

/// Reads tensors of one type as slices.
pub(crate) fn read<T: WithDType, const S: usize, R>(
    name: &'static str,
    sources: [&Tensor; S],
    body: impl FnOnce([&[T]; S]) -> R,
) -> Result<R> {
    let guards = sources.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; S] = [&[]; S];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("{name}: no body for this device; only the CPU has one") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("{name}: a source is not contiguous") };
        *slice = &storage.as_slice::<T>()?[start..end];
    }
    Ok(body(slices))
}

fn nest<'s>(
    name: &'static str,
    destinations: &[&Tensor],
    slices: Vec<&'s mut [f32]>,
    body: impl FnOnce(Vec<&mut [f32]>) + 's,
) -> Result<()> {
    let body: Body<'s> = Box::new(body);
    let Some((first, rest)) = destinations.split_first() else {
        body(slices);
        return Ok(());
    };
    first.inplace_op1(&Nested { name, rest, state: RefCell::new(Some((slices, body))) })
}

/// What is left of a launch: the slices held so far and the body that waits for all of them.
type Held<'s> = (Vec<&'s mut [f32]>, Body<'s>);

/// What runs once every destination is held.
type Body<'s> = Box<dyn FnOnce(Vec<&mut [f32]>) + 's>;

struct Nested<'a, 's> {
    name: &'static str,
    rest: &'a [&'a Tensor],
    state: RefCell<Option<Held<'s>>>,
}

impl InplaceOp1 for Nested<'_, '_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else { bail!("{}: expected an f32 destination", self.name) };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{}: a destination is not contiguous", self.name)
        };
        let Some((mut slices, body)) = self.state.take() else { bail!("{}: launched twice", self.name) };
        slices.push(&mut values[start..end]);
        nest(self.name, self.rest, slices, body)
    }
}
