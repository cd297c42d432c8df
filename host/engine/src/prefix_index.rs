//! The prefix index: which block holds the keys and values of which tokens.
//!
//! A whole block is known by a key: the hash of its tokens and of the key of the block before it, back to the adapter that
//! the sequence is computed with. Equal keys are equal prefixes, so a block that is found can stand at the same place of
//! another sequence.

use std::collections::HashMap;

use hilora_contract::artifact::ContentHash;

/// The key of a whole block and all that comes before it.
pub(crate) type PrefixKey = ContentHash;

/// The key that the first block of a sequence follows.
pub(crate) fn root_key(adapter: Option<usize>) -> PrefixKey {
    let adapter = adapter.map_or(0, |adapter| adapter as u64 + 1);
    ContentHash::of(&adapter.to_le_bytes())
}

/// The key of a block with these tokens after a block with that key.
pub(crate) fn key_after(before: PrefixKey, tokens: &[u32]) -> PrefixKey {
    let tokens: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    ContentHash::of_parts([before.as_bytes(), &tokens[..]])
}

/// The blocks that hold prefixes.
#[derive(Debug, Default)]
pub(crate) struct PrefixIndex {
    blocks: HashMap<PrefixKey, u32>,
    keys: HashMap<u32, PrefixKey>,
}

impl PrefixIndex {
    /// The block with this key.
    pub(crate) fn find(&self, key: &PrefixKey) -> Option<u32> {
        self.blocks.get(key).copied()
    }

    /// Whether a block holds a prefix.
    pub(crate) fn holds(&self, block: u32) -> bool {
        self.keys.contains_key(&block)
    }

    /// Says that a block holds a prefix. One block is enough for a key: of two with the same, the first stays.
    pub(crate) fn insert(&mut self, key: PrefixKey, block: u32) {
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.blocks.entry(key) {
            vacant.insert(block);
            self.keys.insert(block, key);
        }
    }

    /// Forgets what a block holds.
    pub(crate) fn forget(&mut self, block: u32) {
        if let Some(key) = self.keys.remove(&block) {
            self.blocks.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_all_that_comes_before_it() {
        let chain =
            |adapter, blocks: &[&[u32]]| blocks.iter().fold(root_key(adapter), |key, block| key_after(key, block));
        let one = chain(None, &[&[1, 2], &[3, 4]]);
        assert_eq!(one, chain(None, &[&[1, 2], &[3, 4]]));
        for other in [
            chain(None, &[&[1, 9], &[3, 4]]),
            chain(None, &[&[3, 4]]),
            chain(None, &[&[1, 2, 3, 4]]),
            chain(Some(0), &[&[1, 2], &[3, 4]]),
            chain(Some(1), &[&[1, 2], &[3, 4]]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn of_two_blocks_with_one_key_the_first_is_found() {
        let mut index = PrefixIndex::default();
        let key = root_key(None);
        index.insert(key, 3);
        index.insert(key, 4);
        assert_eq!((index.find(&key), index.holds(4)), (Some(3), false));
        index.forget(4);
        assert_eq!(index.find(&key), Some(3));
        index.forget(3);
        assert_eq!((index.find(&key), index.holds(3)), (None, false));
    }
}
