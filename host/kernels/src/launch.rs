//! A launch: one operation over tensors, as candle in-place operations with a body per device.
//!
//! Sources are read through a `View`. candle hands an in-place operation one destination; operations here may have
//! several, so a launch nests one in-place operation per destination around the body. Bodies are the CPU's; on another
//! device an operation is a composite, and a launch is an error that names it. A destination never shares its memory with
//! a source: what is updated in place is a destination only.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};

use crate::element::Element;

/// A tensor's values, for as long as the view lives.
pub(crate) struct View<'a, T> {
    /// candle's lock.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    range: Range<usize>,
    element: PhantomData<T>,
}

/// Opens a tensor for reading; it must be contiguous, of the type asked for, and in the CPU's memory.
pub(crate) fn view<'a, T: WithDType>(name: &'static str, tensor: &'a Tensor) -> Result<View<'a, T>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("{name}: a source is not contiguous") };
    match &*storage {
        Storage::Cpu(values) => values.as_slice::<T>()?,
        _ => bail!("{name}: no body for this device; only the CPU has one"),
    };
    Ok(View { storage: Box::new(storage), range: start..end, element: PhantomData })
}

impl<T: WithDType> Deref for View<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &**self.storage {
            // `view` has looked at device and type.
            Storage::Cpu(values) => values.as_slice::<T>().map_or(&[], |values| &values[self.range.clone()]),
            _ => &[],
        }
    }
}

/// Writes destinations of one type; returns what the body does.
pub(crate) fn launch<T: Element, const D: usize, R>(
    name: &'static str,
    destinations: [&Tensor; D],
    body: impl FnOnce([&mut [T]; D]) -> R,
) -> Result<R> {
    let mut result = None;
    nest(name, &destinations, Vec::with_capacity(D), |slices: Vec<&mut [T]>| {
        // `nest` hands over exactly one slice per destination.
        result = slices.try_into().ok().map(body);
    })?;
    match result {
        Some(result) => Ok(result),
        None => bail!("{name}: not launched"),
    }
}

/// Writes f32 destinations from f32 sources.
pub(crate) fn write<const D: usize, const S: usize>(
    name: &'static str,
    destinations: [&Tensor; D],
    sources: [&Tensor; S],
    body: impl FnOnce([&mut [f32]; D], [&[f32]; S]),
) -> Result<()> {
    read(name, sources, |sources| launch::<f32, D, ()>(name, destinations, |slices| body(slices, sources)))?
}

/// Reads tensors of one type as slices.
pub(crate) fn read<T: WithDType, const S: usize, R>(
    name: &'static str,
    sources: [&Tensor; S],
    body: impl FnOnce([&[T]; S]) -> R,
) -> Result<R> {
    let views = sources.into_iter().map(|source| view::<T>(name, source)).collect::<Result<Vec<_>>>()?;
    let mut slices: [&[T]; S] = [&[]; S];
    for (slice, view) in slices.iter_mut().zip(&views) {
        *slice = view;
    }
    Ok(body(slices))
}

fn nest<'s, T: Element>(
    name: &'static str,
    destinations: &[&Tensor],
    slices: Vec<&'s mut [T]>,
    body: impl FnOnce(Vec<&mut [T]>) + 's,
) -> Result<()> {
    let body: Body<'s, T> = Box::new(body);
    let Some((first, rest)) = destinations.split_first() else {
        body(slices);
        return Ok(());
    };
    first.inplace_op1(&Nested { name, rest, state: RefCell::new(Some((slices, body))) })
}

/// What is left of a launch: the slices held so far and the body that waits for all of them.
type Held<'s, T> = (Vec<&'s mut [T]>, Body<'s, T>);

/// What runs once every destination is held.
type Body<'s, T> = Box<dyn FnOnce(Vec<&mut [T]>) + 's>;

struct Nested<'a, 's, T> {
    name: &'static str,
    rest: &'a [&'a Tensor],
    state: RefCell<Option<Held<'s, T>>>,
}

impl<T: Element> InplaceOp1 for Nested<'_, '_, T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let Some(values) = T::values_mut(storage) else {
            bail!("{}: expected a destination in {:?}", self.name, T::DTYPE)
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{}: a destination is not contiguous", self.name)
        };
        let Some((mut slices, body)) = self.state.take() else { bail!("{}: launched twice", self.name) };
        slices.push(&mut values[start..end]);
        nest(self.name, self.rest, slices, body)
    }
}
