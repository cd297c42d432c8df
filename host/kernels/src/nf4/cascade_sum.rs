//! The sum of f32 in torch's order, on which the offset of the block maxima depends to the last bit.

/// The sum of f32 in the order of torch's CPU kernel: eight lanes by four rows, in cascades of 16.
pub(super) fn cascade_sum(x: &[f32]) -> f32 {
    const LANES: usize = 8;
    const ROWS: usize = 4;
    const LEVELS: usize = 4;
    let vectors = x.len() / LANES;
    let size = vectors / ROWS;
    let ceil_log2 = |n: usize| if n <= 1 { 0 } else { (n - 1).ilog2() + 1 };
    let power = (ceil_log2(size) / LEVELS as u32).max(4);
    let step = 1usize << power;
    let mut sums = [[[0.0f32; LANES]; ROWS]; LEVELS];
    let add_row = |sums: &mut [[f32; LANES]; ROWS], i: usize| {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += x[(i * ROWS + row) * LANES + lane];
            }
        }
    };
    let mut i = 0;
    while i + step <= size {
        for _ in 0..step {
            add_row(&mut sums[0], i);
            i += 1;
        }
        for level in 1..LEVELS {
            let below = std::mem::replace(&mut sums[level - 1], [[0.0; LANES]; ROWS]);
            for (sums, below) in sums[level].as_flattened_mut().iter_mut().zip(below.as_flattened()) {
                *sums += below;
            }
            if i & ((step - 1) << (level as u32 * power)) != 0 {
                break;
            }
        }
    }
    while i < size {
        add_row(&mut sums[0], i);
        i += 1;
    }
    let mut rows = sums[0];
    for level in &sums[1..] {
        for (sum, value) in rows.as_flattened_mut().iter_mut().zip(level.as_flattened()) {
            *sum += value;
        }
    }
    let mut lanes = rows[0];
    for vector in size * ROWS..vectors {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += x[vector * LANES + lane];
        }
    }
    for row in &rows[1..] {
        for (sum, value) in lanes.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let rest = x[vectors * LANES..].iter().fold(0.0, |sum, x| sum + x);
    lanes.iter().fold(rest, |sum, x| sum + x)
}
