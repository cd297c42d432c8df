//! The block allocator: which blocks of the cache are free, and how many sequences hold each of the others.
//!
//! A free block is empty, or idle: it still has the keys and values of a prefix that may come up again. Empty blocks are
//! handed out first, and of the idle ones that which was let go of longest ago.

use std::collections::BTreeMap;

/// Counts the holders of a number of blocks.
#[derive(Debug)]
pub(crate) struct BlockAllocator {
    holders: Vec<u32>,
    /// Free blocks without content; the last is handed out first.
    empty: Vec<u32>,
    /// Free blocks with content, by when they were let go of.
    idle: BTreeMap<u64, u32>,
    /// When an idle block was let go of.
    idle_since: Vec<Option<u64>>,
    clock: u64,
}

impl BlockAllocator {
    /// So many empty blocks, with the ids from 0.
    pub(crate) fn new(blocks: usize) -> Self {
        Self {
            holders: vec![0; blocks],
            // Low ids come first, so that a cache need not be larger than what is in use.
            empty: (0..blocks as u32).rev().collect(),
            idle: BTreeMap::new(),
            idle_since: vec![None; blocks],
            clock: 0,
        }
    }

    /// How many can be handed out.
    pub(crate) fn available(&self) -> usize {
        self.empty.len() + self.idle.len()
    }

    /// Whether a block is free and has content.
    pub(crate) fn is_idle(&self, block: u32) -> bool {
        self.idle_since[block as usize].is_some()
    }

    /// How many hold a block.
    pub(crate) fn holders(&self, block: u32) -> u32 {
        self.holders[block as usize]
    }

    /// Hands out a block to one holder; its content, if it had any, is to be forgotten.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        let block = self.empty.pop().or_else(|| self.idle.pop_first().map(|(_, block)| block))?;
        self.idle_since[block as usize] = None;
        self.holders[block as usize] = 1;
        Some(block)
    }

    /// One more holder of a block that is held or idle.
    pub(crate) fn hold(&mut self, block: u32) {
        if let Some(since) = self.idle_since[block as usize].take() {
            self.idle.remove(&since);
        }
        self.holders[block as usize] += 1;
    }

    /// One holder less. Without any, the block is free: idle if its content may come up again.
    pub(crate) fn release(&mut self, block: u32, has_content: bool) {
        let holders = &mut self.holders[block as usize];
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        if has_content {
            self.clock += 1;
            self.idle.insert(self.clock, block);
            self.idle_since[block as usize] = Some(self.clock);
        } else {
            self.empty.push(block);
        }
    }

    /// What is wrong with its books, if anything: every block is empty, idle or held, and only one of them.
    #[cfg(test)]
    pub(crate) fn defect(&self) -> Option<String> {
        let blocks = self.holders.len();
        let mut places = vec![0; blocks];
        self.empty.iter().chain(self.idle.values()).for_each(|block| places[*block as usize] += 1);
        let wrong = (0..blocks).find(|block| places[*block] + usize::from(self.holders[*block] > 0) != 1);
        if let Some(block) = wrong {
            return Some(format!("block {block}: {} holders, {} times free", self.holders[block], places[block]));
        }
        let since: BTreeMap<u64, u32> =
            (0..).zip(&self.idle_since).filter_map(|(block, since)| Some(((*since)?, block))).collect();
        (since != self.idle).then(|| format!("idle blocks: {:?}, and by block: {since:?}", self.idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_blocks_go_first_then_those_let_go_of_longest_ago() {
        let mut allocator = BlockAllocator::new(4);
        let taken: Vec<_> = (0..4).map(|_| allocator.allocate()).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(allocator.allocate(), None);
        allocator.release(2, true);
        allocator.release(1, true);
        allocator.release(3, false);
        assert_eq!((allocator.available(), allocator.is_idle(2), allocator.is_idle(3)), (3, true, false));
        // Block 2 comes up again and is let go of once more: now it is the last.
        allocator.hold(2);
        allocator.release(2, true);
        assert_eq!([allocator.allocate(), allocator.allocate(), allocator.allocate()], [Some(3), Some(1), Some(2)]);
        assert_eq!(allocator.defect(), None);
    }

    #[test]
    fn a_block_is_free_when_its_last_holder_lets_go() {
        let mut allocator = BlockAllocator::new(1);
        let block = allocator.allocate().expect("there is one");
        allocator.hold(block);
        allocator.release(block, false);
        assert_eq!((allocator.holders(block), allocator.available()), (1, 0));
        allocator.release(block, false);
        assert_eq!((allocator.holders(block), allocator.available()), (0, 1));
        assert_eq!(allocator.defect(), None);
    }
}
