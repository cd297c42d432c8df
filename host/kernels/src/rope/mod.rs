//! Rotary position embedding: in each head of width d, of which the first r columns are rotary, the pair (x_i, x_{i + r/2})
//! turns by the angle position · frequency_i; the other columns stay. In place over x [rows, heads · d]; backward is the
//! turn by the opposite angle.

mod composite;
mod cpu;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::element::Element;
use crate::place::Body;

/// Cosines and sines of every position, [positions, r / 2] each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cosines: Tensor,
    sines: Tensor,
    /// The width of a head, d.
    head_dim: usize,
}

impl RopeTable {
    /// The table of all positions below `positions`, for one frequency per rotary pair of a head, in radians per position.
    /// Cosines and sines are multiplied with `amplitude`, so that a turn changes lengths, too.
    pub fn new(
        positions: usize,
        head_dim: usize,
        frequencies: &[f32],
        amplitude: f32,
        device: &Device,
    ) -> Result<Self> {
        let half = frequencies.len();
        let angles: Vec<f64> = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency)))
            .collect();
        let table = |f: fn(f64) -> f64| {
            Tensor::from_vec(
                angles.par_iter().map(|angle| f(*angle) as f32 * amplitude).collect::<Vec<f32>>(),
                (positions, half),
                device,
            )
        };
        Ok(Self { cosines: table(f64::cos)?, sines: table(f64::sin)?, head_dim })
    }

    /// Turns x by each row's position.
    pub fn forward<T: Element>(&self, x: &Tensor, positions: &[u32]) -> Result<()> {
        self.turn::<T>(x, positions, 1.0)
    }

    /// The transpose of `forward`: turns dx back.
    pub fn backward<T: Element>(&self, dx: &Tensor, positions: &[u32]) -> Result<()> {
        self.turn::<T>(dx, positions, -1.0)
    }

    fn turn<T: Element>(&self, x: &Tensor, positions: &[u32], sign: f32) -> Result<()> {
        let table = (&self.cosines, &self.sines);
        match Body::of(x) {
            Body::Cpu => cpu::turn::<T>(x, positions, table, self.head_dim, sign),
            Body::Composite | Body::Cuda => composite::turn(x, positions, table, self.head_dim, sign),
        }
    }
}
