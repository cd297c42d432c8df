//! The block pool: the allocator's blocks, and what the prefix index says is in them. A block is found only while its
//! content is there.

use super::block_allocator::BlockAllocator;
use super::prefix_index::{PrefixIndex, PrefixKey};

/// The blocks of a cache.
#[derive(Debug)]
pub(crate) struct BlockPool {
    allocator: BlockAllocator,
    index: PrefixIndex,
}

impl BlockPool {
    /// So many empty blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        Self { allocator: BlockAllocator::new(blocks), index: PrefixIndex::default() }
    }

    /// How many can be taken.
    pub(crate) fn available(&self) -> usize {
        self.allocator.available()
    }

    /// Takes a block, whose content is forgotten.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let block = self.allocator.allocate()?;
        self.index.forget(block);
        Some(block)
    }

    /// Holds a block once more.
    pub(crate) fn share(&mut self, block: u32) {
        self.allocator.hold(block);
    }

    /// Whether a block has more than one holder.
    pub(crate) fn is_shared(&self, block: u32) -> bool {
        self.allocator.holders(block) > 1
    }

    /// Whether nobody holds a block.
    pub(crate) fn is_idle(&self, block: u32) -> bool {
        self.allocator.is_idle(block)
    }

    /// Lets go of a sequence's blocks. Its end is forgotten before its beginning, which others are more likely to share.
    pub(crate) fn release(&mut self, blocks: &[u32]) {
        for block in blocks.iter().rev() {
            self.allocator.release(*block, self.index.holds(*block));
        }
    }

    /// Says which prefix a block holds, whole.
    pub(crate) fn keep(&mut self, key: PrefixKey, block: u32) {
        self.index.insert(key, block);
    }

    /// The block that holds a prefix.
    pub(crate) fn find(&self, key: &PrefixKey) -> Option<u32> {
        self.index.find(key)
    }

    /// What is wrong with the books, given how many blocks there are and which every sequence has.
    #[cfg(test)]
    pub(crate) fn defect<'s>(&self, blocks: usize, held: impl Iterator<Item = &'s [u32]>) -> Option<String> {
        let mut holders = vec![0u32; blocks];
        held.flatten().for_each(|block| holders[*block as usize] += 1);
        let miscounted = (0..).zip(&holders).find(|(block, holders)| self.allocator.holders(*block) != **holders);
        let is_free = |block: &u32| self.allocator.holders(*block) == 0;
        let free = (0..blocks as u32).filter(is_free);
        let lost = free.into_iter().find(|block| self.is_idle(*block) != self.index.holds(*block));
        self.allocator
            .defect()
            .or_else(|| miscounted.map(|(block, held)| format!("block {block}: held by {held} sequences")))
            .or_else(|| lost.map(|block| format!("block {block}: idle or of a prefix, and not both")))
    }
}
