//! Rotary position embedding: in each head of width d, the pair (x_i, x_{i + d/2}) turns by the angle
//! position · frequency_i. In place over x [rows, heads · d]; backward is the turn by the opposite angle.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::composite;
use super::element::Element;
use super::launch::{launch, view};
use super::simd::vectorized;

/// Cosines and sines of every position, [positions, d / 2] each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cosines: Tensor,
    sines: Tensor,
    head_dim: usize,
}

impl RopeTable {
    /// The table of all positions below `positions`, for one frequency per pair of a head, in radians per position.
    pub fn new(positions: usize, frequencies: &[f32], device: &Device) -> Result<Self> {
        let half = frequencies.len();
        let angles: Vec<f64> = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency)))
            .collect();
        let table = |f: fn(f64) -> f64| {
            Tensor::from_vec(
                angles.par_iter().map(|angle| f(*angle) as f32).collect::<Vec<f32>>(),
                (positions, half),
                device,
            )
        };
        Ok(Self { cosines: table(f64::cos)?, sines: table(f64::sin)?, head_dim: 2 * half })
    }

    /// Turns x by each row's position.
    pub fn forward<T: Element>(&self, x: &Tensor, positions: &[u32]) -> Result<()> {
        self.turn::<T>(x, positions, 1.0)
    }

    /// Turns dx back.
    pub fn backward<T: Element>(&self, dx: &Tensor, positions: &[u32]) -> Result<()> {
        self.turn::<T>(dx, positions, -1.0)
    }

    fn turn<T: Element>(&self, x: &Tensor, positions: &[u32], sign: f32) -> Result<()> {
        if composite::serves(x) {
            return composite::rope::turn(x, positions, (&self.cosines, &self.sines), sign);
        }
        let width = x.dims2()?.1;
        let head_dim = self.head_dim;
        let (cosines, sines) = (view::<f32>("rope", &self.cosines)?, view::<f32>("rope", &self.sines)?);
        let (cosines, sines) = (&*cosines, &*sines);
        launch::<T, 1, _>("rope", [x], |[x]| {
            x.par_chunks_mut(64 * width)
                .zip(positions.par_chunks(64))
                .for_each(|(x, positions)| turn_rows(x, positions, cosines, sines, head_dim, sign));
        })
    }
}

vectorized! {
    fn turn_rows<T: Element>(x: &mut [T], positions: &[u32], cosines: &[f32], sines: &[f32], head_dim: usize, sign: f32) {
        let (width, half) = (x.len() / positions.len(), head_dim / 2);
        for (row, position) in x.chunks_exact_mut(width).zip(positions) {
            let at = *position as usize * half;
            let (cosines, sines) = (&cosines[at..at + half], &sines[at..at + half]);
            for head in row.chunks_exact_mut(head_dim) {
                let (left, right) = head.split_at_mut(half);
                for (((l, r), c), s) in left.iter_mut().zip(right).zip(cosines).zip(sines) {
                    let s = s * sign;
                    let (x, y) = (l.widen(), r.widen());
                    (*l, *r) = (T::narrow(x * c - y * s), T::narrow(y * c + x * s));
                }
            }
        }
    }
}
