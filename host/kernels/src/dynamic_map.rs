//! bitsandbytes' dynamic maps: 256 values of [-1, 1] that an 8-bit code stands for, denser towards zero.

/// bitsandbytes' signed dynamic map: seven decades with 1, 2, 4 … 64 steps, both signs, zero and one.
pub fn dynamic_map() -> [f32; 256] {
    map_of_decades(true)
}

/// bitsandbytes' unsigned dynamic map: seven decades with 2, 4, 8 … 128 steps, zero and one.
pub(crate) fn unsigned_dynamic_map() -> [f32; 256] {
    map_of_decades(false)
}

fn map_of_decades(signed: bool) -> [f32; 256] {
    let mut map = Vec::with_capacity(256);
    for decade in 0..7u32 {
        let points = (1usize << (decade + u32::from(!signed))) + 1;
        let step = (1.0f32 - 0.1) / (points - 1) as f32;
        // The boundaries are torch.linspace's: the first half counted from the start, the second from the end.
        let boundary = |i: usize| {
            if i < points / 2 { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((points - 1 - i) as f32, 1.0) }
        };
        let factor = 10f64.powi(decade as i32 - 6) as f32;
        for i in 0..points - 1 {
            let value = factor * ((boundary(i) + boundary(i + 1)) / 2.0);
            map.push(value);
            map.extend(signed.then_some(-value));
        }
    }
    map.extend([0.0, 1.0]);
    map.sort_by(f32::total_cmp);
    let mut result = [0.0; 256];
    result.copy_from_slice(&map);
    result
}

/// For each of 65,536 evenly spaced values of [-1, 1] the index of the nearest code of the map.
pub(crate) fn nearest_codes(map: &[f32; 256]) -> Vec<u8> {
    let mut nearest = 0usize;
    (0..65_536)
        .map(|index| {
            let value = index as f32 * 2.0 / 65_535.0 - 1.0;
            while nearest < 255 && (map[nearest + 1] - value).abs() < (map[nearest] - value).abs() {
                nearest += 1;
            }
            nearest as u8
        })
        .collect()
}
