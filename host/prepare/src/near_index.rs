//! An index of texts by their MinHash bands: which of the texts seen so far may resemble this one.

use std::collections::HashMap;

use super::fingerprint::{BANDS, Bands};

/// A table over hashes, of which there are millions.
type HashTable<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Texts by name. There may be millions, so the texts of one key are a chain through the texts themselves, and a key
/// is half a band: two keys that become one propose a pair too many, and what is proposed is compared.
pub(super) struct NearIndex {
    /// For each band the last text that was added under each key.
    last: [HashTable<u32, u32>; BANDS],
    texts: Vec<Indexed>,
}

struct Indexed {
    name: u32,
    /// For each band the text before this one under the same key.
    before: [u32; BANDS],
}

/// The end of a chain.
const NONE: u32 = u32::MAX;
/// So many texts of one key are proposed, the last ones. Where thousands have one key, comparing each with all would take
/// a time that grows with their square.
const PROPOSED_MAX: usize = 64;

impl NearIndex {
    /// An empty one with room for so many texts.
    pub(super) fn with_capacity(texts: usize) -> Self {
        Self { last: Default::default(), texts: Vec::with_capacity(texts) }
    }

    /// The names of the texts that share a band with this one, in the order in which they were added.
    pub(super) fn candidates(&self, bands: &Bands) -> Vec<usize> {
        let mut places = Vec::new();
        for (band, (last, key)) in self.last.iter().zip(bands).enumerate() {
            let mut place = last.get(&half(*key)).copied().unwrap_or(NONE);
            for _ in 0..PROPOSED_MAX {
                let Some(text) = self.texts.get(place as usize) else { break };
                places.push(place);
                place = text.before[band];
            }
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.texts[place as usize].name as usize).collect()
    }

    /// Adds a text under a name.
    pub(super) fn add(&mut self, name: usize, bands: &Bands) {
        let small = |number: usize| u32::try_from(number).expect("fewer than four billion texts fit in memory");
        let place = small(self.texts.len());
        let mut before = [NONE; BANDS];
        for ((last, key), before) in self.last.iter_mut().zip(bands).zip(&mut before) {
            *before = last.insert(half(*key), place).unwrap_or(NONE);
        }
        self.texts.push(Indexed { name: small(name), before });
    }
}

fn half(key: u64) -> u32 {
    (key >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::{Shingles, Words};
    use super::*;

    fn shingles(words: &[u32]) -> Shingles {
        let text: String = words.iter().map(|word| format!("w{word} ")).collect();
        Words::of_text(&text).shingles()
    }

    #[test]
    fn what_resembles_is_found_and_what_does_not_is_not() {
        let texts: Vec<Vec<u32>> = (0..200).map(|i| (0..100).map(|word| word + i * 1000).collect()).collect();
        let mut index = NearIndex::with_capacity(0);
        for (name, words) in texts.iter().enumerate() {
            index.add(name, &shingles(words).bands());
        }
        let mut found = 0;
        for (name, words) in texts.iter().enumerate() {
            let mut changed = words.clone();
            changed[50] = 7;
            let near = index.candidates(&shingles(&changed).bands());
            assert!(near.is_empty() || near == [name], "{near:?}");
            found += near.len();
        }
        // 91 of 101 shared: J = 0.90, of which MinHash misses one in two thousand.
        assert!(found >= 198, "{found}");
        let other = shingles(&(500_000..500_100).collect::<Vec<_>>());
        assert!(index.candidates(&other.bands()).is_empty());
    }

    #[test]
    fn texts_of_one_key_are_all_found_in_order() {
        let mut index = NearIndex::with_capacity(0);
        let bands = shingles(&[1, 2, 3]).bands();
        let mut one_shared = shingles(&[4, 5, 6]).bands();
        one_shared[13] = bands[13];
        for (name, bands) in [(3, &bands), (5, &one_shared), (9, &bands)] {
            index.add(name, bands);
        }
        assert_eq!(index.candidates(&bands), [3, 5, 9]);
        (10..1000).for_each(|name| index.add(name, &bands));
        assert_eq!(index.candidates(&bands), (936..1000).collect::<Vec<_>>(), "of very many, the last");
    }
}
