//! An index of runs of words by their hashes: which runs of the problems that a model is measured on stand in a text.

use rayon::prelude::*;

/// A run of words of a measured problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) hash: u64,
    /// The first measured problem that it stands in.
    pub(super) measured: u32,
    /// In how many different problems it stands.
    pub(super) problems: u32,
}

/// Runs, of which there may be millions: sorted, with a directory, they take less memory than a hash table, and no more
/// while they are collected.
pub(super) struct RunIndex {
    /// In the order of their hashes.
    all: Vec<Run>,
    /// The further measured problems of runs that stand in several, in the order of the runs' hashes.
    further: Vec<(u64, u32)>,
    /// Where the runs begin whose hash has these first bits; one more at the end.
    starts: Vec<u32>,
    /// How far a hash is shifted to leave those bits.
    shift: u32,
    /// For each run, by the next bits of its hash, one bit of its bucket's byte: most runs that are looked for are not
    /// there, and this tells so from memory that the processor has at hand.
    present: Vec<u8>,
}

impl RunIndex {
    /// Runs of one hash become one, of the first problem and with the problems of all.
    pub(super) fn of(mut all: Vec<Run>) -> Self {
        all.par_sort_unstable_by_key(|run| (run.hash, run.measured));
        let mut further = Vec::new();
        all.dedup_by(|run, first| {
            let same = run.hash == first.hash;
            if same {
                first.problems += run.problems;
                further.push((run.hash, run.measured));
            }
            same
        });
        let bits = all.len().max(2).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = vec![0_u32; (1 << bits) + 1];
        let mut present = vec![0; 1 << bits];
        for run in &all {
            let bucket = (run.hash >> shift) as usize;
            starts[bucket + 1] += 1;
            present[bucket] |= bit_in_bucket(run.hash, shift);
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Self { all, further, starts, shift, present }
    }

    /// The place of the run of this hash.
    pub(super) fn find(&self, hash: u64) -> Option<usize> {
        let bucket = (hash >> self.shift) as usize;
        if self.present[bucket] & bit_in_bucket(hash, self.shift) == 0 {
            return None;
        }
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let place = self.all[start..end].iter().position(|run| run.hash == hash)?;
        Some(start + place)
    }

    /// The run at a place.
    pub(super) fn get(&self, place: usize) -> &Run {
        &self.all[place]
    }

    /// The measured problems that the run at a place stands in.
    pub(super) fn measured(&self, place: usize) -> impl ExactSizeIterator<Item = usize> + Clone {
        let Run { hash, measured, .. } = self.all[place];
        let start = self.further.partition_point(|(other, _)| *other < hash);
        let more = self.further[start..].partition_point(|(other, _)| *other == hash);
        let further = &self.further[start..start + more];
        (0..more + 1).map(move |i| if i == 0 { measured } else { further[i - 1].1 } as usize)
    }

    /// The same, to be counted.
    pub(super) fn get_mut(&mut self, place: usize) -> &mut Run {
        &mut self.all[place]
    }
}

/// One of eight bits, by the three bits of the hash below those of its bucket.
fn bit_in_bucket(hash: u64, shift: u32) -> u8 {
    1 << ((hash >> (shift - 3)) & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that come several times, neighbours among them.
    fn hash(i: u64) -> u64 {
        (i % 700).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i % 3)
    }

    #[test]
    fn every_run_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 2000_u32] {
            let run = |i| Run { hash: hash(u64::from(i)), measured: count - i, problems: 1 };
            let runs: Vec<Run> = (0..count).map(run).collect();
            let index = RunIndex::of(runs.clone());
            for i in 0..5000 {
                let hash = hash(i) ^ (u64::from(i > 4000) << 40);
                let of_hash = || runs.iter().filter(|run| run.hash == hash);
                let first = of_hash().map(|run| run.measured).min();
                let expected = first.map(|measured| Run { hash, measured, problems: of_hash().count() as u32 });
                let found = index.find(hash);
                assert_eq!(found.map(|place| index.get(place).clone()), expected, "{count} {i}");
                let mut measured: Vec<usize> = of_hash().map(|run| run.measured as usize).collect();
                measured.sort_unstable();
                assert_eq!(found.map_or(Vec::new(), |place| index.measured(place).collect()), measured);
            }
        }
    }
}
