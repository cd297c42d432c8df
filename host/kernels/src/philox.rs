//! Philox4x32-10: random numbers that are a function of a key and a counter, with no state between them.
//!
//! A number depends on what it is for, (seed, step, layer, module, element) or (seed, stream, position), never on how
//! many were drawn before. So a recomputed block draws the same dropout mask, a resumed run the same numbers, and a
//! completion the same tokens in any batch. (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.)

/// Four 32-bit random words of a 128-bit counter under a 64-bit key.
#[inline(always)]
pub(crate) fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for _ in 0..10 {
        let p0 = u64::from(c0) * 0xd251_1f53;
        let p1 = u64::from(c2) * 0xcd9e_8d57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    [c0, c1, c2, c3]
}

/// The two halves of a seed.
#[inline]
pub(crate) fn key_of(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// What a stream of numbers is for; different purposes never share numbers under one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dropout masks.
    Dropout = 1,
    /// New weights.
    Weights = 2,
    /// The order of samples.
    Shuffle = 3,
    /// Sampled tokens.
    Sampling = 4,
    /// The audit's perturbation.
    Audit = 5,
    /// Noise on embeddings.
    Noise = 6,
}

/// A sequence of numbers under (seed, purpose, stream).
pub struct Sequence {
    key: [u32; 2],
    stream: u64,
    purpose: Purpose,
    next: u32,
}

impl Sequence {
    /// The sequence of this seed, purpose and stream, from its beginning.
    pub fn new(seed: u64, purpose: Purpose, stream: u64) -> Self {
        Self { key: key_of(seed), stream, purpose, next: 0 }
    }

    /// The sequence from one of its numbers on.
    pub fn from(seed: u64, purpose: Purpose, stream: u64, next: u32) -> Self {
        Self { next, ..Self::new(seed, purpose, stream) }
    }

    #[inline]
    fn words(&mut self) -> [u32; 4] {
        let counter = [self.next, self.purpose as u32, self.stream as u32, (self.stream >> 32) as u32];
        self.next += 1;
        philox(self.key, counter)
    }

    /// A number of [0, 1) with 53 random bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        let [low, high, ..] = self.words();
        ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A whole number below `bound`.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        let [low, high, ..] = self.words();
        // The bias of the multiplication is below 2^-32 for any list that fits in memory here.
        ((u128::from(u64::from(high) << 32 | u64::from(low)) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_published_vectors() {
        // Random123's kat_vectors, philox4x32 with 10 rounds.
        assert_eq!(philox([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 2], [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn streams_and_purposes_differ() {
        let first = |purpose, stream| Sequence::new(7, purpose, stream).uniform();
        assert_ne!(first(Purpose::Shuffle, 0), first(Purpose::Shuffle, 1));
        assert_ne!(first(Purpose::Shuffle, 0), first(Purpose::Sampling, 0));
    }
}
