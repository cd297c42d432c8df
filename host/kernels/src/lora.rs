//! LoRA: y += t Bᵀ with t = scale · drop(x) Aᵀ; x [rows, in], A [r, in], B [out, r], t [rows, r], y [rows, out].
//!
//! t is saved. Backward, with dt = scale · dy B: dB += dyᵀ t, dA += dtᵀ drop(x), dx += drop(dt A). drop zeroes an element
//! with probability p and divides the others by 1 − p; its mask is a function of (seed, step, layer, module, element), so
//! backward draws it again instead of keeping it.
//!
//! The products with x Wᵀ and dy W run in one pass with those of the base (`linear`). A and B are f32; in bf16 they are
//! rounded while they are packed, and t has a column of zeros where r is odd.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::composite;
use super::element::Element;
use super::launch::{launch, read, view, write};
use super::matmul::{Columns, Dense, Factor, Operand, Packed, Product, Shape, Start, ZeroExtended, multiply};
use super::philox::{Purpose, key_of, philox};
use super::scratch::Scratch;

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
    pub(super) fn place(&self) -> u32 {
        self.layer << 12 | self.module << 8 | Purpose::Dropout as u32
    }

    /// A word below the threshold zeroes its element.
    pub(super) fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }

    /// What multiplies an element that is kept.
    pub(super) fn keep(&self) -> f32 {
        (1.0 / (1.0 - self.probability)) as f32
    }

    /// y = drop(x), or y += drop(x).
    pub(super) fn apply<X: Element, Y: Element>(&self, x: &[X], y: &mut [Y], accumulate: bool) {
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

    fn dropped<T: Element>(&self, x: &Tensor) -> Result<Scratch> {
        let y = Scratch::of::<T>(x.shape(), x.device())?;
        let x = view::<T>("dropout", x)?;
        launch::<T, 1, _>("dropout", [&y], |[y]| self.apply(&x, y, false))?;
        Ok(y)
    }
}

/// The two factors of one module's update.
#[derive(Debug, Clone, Copy)]
pub struct Factors<'a> {
    /// A, [rank, in].
    pub a: &'a Tensor,
    /// B, [out, rank].
    pub b: &'a Tensor,
    /// What multiplies the update: alpha / rank, or alpha / √rank.
    pub scale: f32,
}

impl Factors<'_> {
    /// Columns of t.
    fn columns(&self) -> Result<usize> {
        Ok(self.a.dims2()?.0.next_multiple_of(2))
    }
}

/// t or dt, ready to be multiplied by B or A beside the product of the base.
pub struct Inner<'a> {
    factors: Factors<'a>,
    product: &'a Tensor,
}

impl<'a> Inner<'a> {
    /// Of what `inner` or `backward` returned.
    pub fn new(factors: Factors<'a>, product: &'a Tensor) -> Self {
        Self { factors, product }
    }

    /// Lends t Bᵀ.
    pub(crate) fn with_forward<T: Element, R>(&self, body: impl FnOnce(Product<'_, T>) -> R) -> Result<R> {
        let (outputs, rank) = self.factors.b.dims2()?;
        let b = view::<f32>("lora", self.factors.b)?;
        let columns = self.factors.columns()?;
        let product = view::<T>("lora", self.product)?;
        let a = Operand::rows_of(&product, columns);
        if rank == columns {
            return Ok(body(Product { a, b: Factor::Transposed(&Dense::new(&b[..], outputs, rank)) }));
        }
        let mut even = vec![0.0; outputs * columns];
        for (even, row) in even.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            even[..rank].copy_from_slice(row);
        }
        Ok(body(Product { a, b: Factor::Transposed(&Dense::new(&even, outputs, columns)) }))
    }

    /// t Bᵀ, as a composite.
    pub(super) fn forward_product<T: Element>(&self) -> Result<Tensor> {
        self.product.matmul(&self.factors.b.to_dtype(T::DTYPE)?.t()?)
    }

    /// dt A, as a composite.
    pub(super) fn backward_product<T: Element>(&self) -> Result<Tensor> {
        self.product.matmul(&self.factors.a.to_dtype(T::DTYPE)?)
    }

    /// Lends dt A.
    pub(crate) fn with_backward<T: Element, R>(&self, body: impl FnOnce(Product<'_, T>) -> R) -> Result<R> {
        let (rank, inputs) = self.factors.a.dims2()?;
        let a = view::<f32>("lora backward", self.factors.a)?;
        let product = view::<T>("lora backward", self.product)?;
        let rows = Dense::new(&a[..], rank, inputs);
        let b = Factor::Straight(&ZeroExtended::to_even(&rows));
        Ok(body(Product { a: Operand::rows_of(&product, self.factors.columns()?), b }))
    }
}

/// t = scale · drop(x) Aᵀ.
pub fn inner<T: Element>(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>) -> Result<Scratch> {
    if composite::serves(x) {
        return composite::lora::inner::<T>(x, factors, dropout);
    }
    let ((rows, inputs), rank) = (x.dims2()?, factors.a.dims2()?.0);
    let dropped = dropout.map(|dropout| dropout.dropped::<T>(x)).transpose()?;
    let columns = factors.columns()?;
    let t = Scratch::of::<T>((rows, columns), x.device())?;
    let x = view::<T>("lora", dropped.as_deref().unwrap_or(x))?;
    let a = view::<f32>("lora", factors.a)?;
    launch::<T, 1, _>("lora", [&t], |[t]| {
        if rank < columns {
            t.fill(T::zero());
        }
        let a = Dense::new(&a[..], rank, inputs);
        let product = Product { a: Operand::rows_of(&x, inputs), b: Factor::<T>::Transposed(&a) };
        multiply(&[product], Shape { rows, columns: rank, stride: columns }, t, factors.scale, Start::Zero);
    })?;
    Ok(t)
}

/// Adds the gradients of A and B to `da` and `db`; returns dt.
pub fn backward<T: Element>(
    dy: &Tensor,
    x: &Tensor,
    t: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    (da, db): (&Tensor, &Tensor),
) -> Result<Scratch> {
    const NAME: &str = "lora backward";
    if composite::serves(x) {
        return composite::lora::backward::<T>(dy, x, t, factors, dropout, (da, db));
    }
    let ((rows, inputs), (outputs, rank)) = (x.dims2()?, factors.b.dims2()?);
    let dropped = dropout.map(|dropout| dropout.dropped::<T>(x)).transpose()?;
    let columns = factors.columns()?;
    let dt = Scratch::of::<T>((rows, columns), x.device())?;
    let x = view::<T>(NAME, dropped.as_deref().unwrap_or(x))?;
    let (dy, t, b) = (view::<T>(NAME, dy)?, view::<T>(NAME, t)?, view::<f32>(NAME, factors.b)?);
    let (dy_rows, x_rows) = (Dense::new(&dy[..], rows, outputs), Dense::new(&x[..], rows, inputs));
    launch::<T, 1, _>(NAME, [&dt], |[dt]| {
        if rank < columns {
            dt.fill(T::zero());
        }
        let b = Dense::new(&b[..], outputs, rank);
        let product = Product { a: Operand::rows_of(&dy, outputs), b: Factor::<T>::Straight(&b) };
        multiply(&[product], Shape { rows, columns: rank, stride: columns }, dt, factors.scale, Start::Zero);
    })?;
    // dBᵀ = tᵀ dy: few rows, which the tile likes better than few columns.
    let transposed = Scratch::arbitrary((rank, outputs), factors.b.device())?;
    launch::<f32, 1, _>(NAME, [&transposed], |[transposed]| {
        let t = Columns::<T>::of(&t, rows, columns, columns);
        let product = Product { a: t.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&dy_rows)) };
        multiply(&[product], Shape::new(rank, outputs), transposed, 1.0, Start::Zero);
    })?;
    write(NAME, [db], [&transposed], |[db], [transposed]| {
        for (r, transposed) in transposed.chunks_exact(outputs).enumerate() {
            db[r..].iter_mut().step_by(rank).zip(transposed).for_each(|(db, value)| *db += value);
        }
    })?;
    let dt_columns = Columns::<T>::of(&view::<T>(NAME, &dt)?, rows, columns, columns);
    launch::<f32, 1, _>(NAME, [da], |[da]| {
        let product = Product { a: dt_columns.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&x_rows)) };
        multiply(&[product], Shape::new(rank, inputs), da, 1.0, Start::Existing);
    })?;
    Ok(dt)
}

/// dx += drop(dt A), where dropout stands between the update and the product of the base.
pub fn backward_dropped<T: Element, X: Element>(update: &Inner<'_>, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    if composite::serves(dx) {
        return composite::lora::add_dropped(&update.backward_product::<T>()?, dropout, dx);
    }
    let (rows, inputs) = dx.dims2()?;
    let before = Scratch::arbitrary((rows, inputs), dx.device())?;
    launch::<f32, 1, _>("lora backward", [&before], |[before]| {
        update.with_backward::<T, _>(|product| {
            multiply(&[product], Shape::new(rows, inputs), before, 1.0, Start::Zero);
        })
    })??;
    let before = view::<f32>("dropout", &before)?;
    launch::<X, 1, _>("dropout", [dx], |[dx]| dropout.apply(&before, dx, true))
}

/// The two factors, ready for y += scale · (x Aᵀ) Bᵀ in f32.
pub enum PreparedFactors<'a> {
    /// Packed for the CPU's body.
    Packed(PackedFactors),
    /// As they are, for a composite.
    Factors(Factors<'a>),
}

impl<'a> PreparedFactors<'a> {
    /// Packs them where a body will read them.
    pub fn new(factors: Factors<'a>) -> Result<Self> {
        if composite::serves(factors.a) {
            return Ok(Self::Factors(factors));
        }
        Ok(Self::Packed(PackedFactors::new(factors)?))
    }

    /// Adds the update to y.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        match self {
            Self::Packed(factors) => factors.forward(x, y),
            Self::Factors(factors) => {
                let t = composite::lora::inner::<f32>(x, *factors, None)?;
                composite::add(y, &Inner::new(*factors, &t).forward_product::<f32>()?)
            }
        }
    }
}

/// The two factors, packed.
pub struct PackedFactors {
    a: Packed,
    b: Packed,
    rank: usize,
    scale: f32,
}

impl PackedFactors {
    fn new(factors: Factors<'_>) -> Result<Self> {
        let ((rank, inputs), (outputs, _)) = (factors.a.dims2()?, factors.b.dims2()?);
        read::<f32, 2, _>("lora", [factors.a, factors.b], |[a, b]| Self {
            a: Packed::of_transposed(&Dense::new(a, rank, inputs)),
            b: Packed::of_transposed(&Dense::new(b, outputs, rank)),
            rank,
            scale: factors.scale,
        })
    }

    fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        let ((rows, inputs), outputs) = (x.dims2()?, y.dims2()?.1);
        let t = Scratch::arbitrary((rows, self.rank), x.device())?;
        write("lora", [&t], [x], |[t], [x]| {
            let product = Product { a: Operand::rows_of(x, inputs), b: Factor::Packed(self.a.all()) };
            multiply(&[product], Shape::new(rows, self.rank), t, self.scale, Start::Zero);
        })?;
        write("lora", [y], [&t], |[y], [t]| {
            let product = Product { a: Operand::rows_of(t, self.rank), b: Factor::Packed(self.b.all()) };
            multiply(&[product], Shape::new(rows, outputs), y, 1.0, Start::Existing);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The positions are those of `cuda/dropout.cu`, compiled for the CPU.
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
