//! The scheduler: which sequences the next pass computes, how many tokens of each, and in which blocks.
//!
//! Decoding sequences come first, a token each, so that long prompts never stall them; what is left of a step's tokens goes
//! to prompts, in pieces. Then waiting sequences join, in the order of their admission. Where blocks run out the youngest
//! sequence gives its own back and is computed anew when there is room. The oldest always goes on, so every request ends.
//!
//! Nothing here decides a token: only when it is computed.

use std::collections::{HashSet, VecDeque};

use super::block_pool::BlockPool;
use super::prefix_index::PrefixKey;
use super::request::RequestId;
use super::sequence::Sequence;
use super::usage::Usage;

/// How much is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Blocks of the cache.
    pub blocks: usize,
    /// Sequences in one pass, and samples that are drawn at once.
    pub rows_max: usize,
    /// Tokens in one pass.
    pub step_tokens_max: usize,
    /// Sequences that may wait.
    pub waiting_max: usize,
}

/// The sequences of an engine and their blocks.
pub(crate) struct Scheduler {
    limits: Limits,
    block_tokens: usize,
    pool: BlockPool,
    /// Sequences without blocks, by age.
    waiting: VecDeque<Sequence>,
    /// Sequences with blocks, by age.
    running: Vec<Sequence>,
    /// Copies (from, to) that come before the next pass, in this order.
    copies: Vec<(u32, u32)>,
    pub(crate) usage: Usage,
}

impl Scheduler {
    pub(crate) fn new(limits: Limits, block_tokens: usize) -> Self {
        Self {
            pool: BlockPool::new(limits.blocks),
            limits,
            block_tokens,
            waiting: VecDeque::new(),
            running: Vec::new(),
            copies: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// How many sequences wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Lets a new sequence wait; it is the youngest.
    pub(crate) fn add(&mut self, sequence: Sequence) {
        self.waiting.push_back(sequence);
    }

    /// Forgets all sequences of a request. Whether there were any.
    pub(crate) fn cancel(&mut self, id: RequestId) -> bool {
        let before = self.waiting.len() + self.running.len();
        self.waiting.retain(|sequence| sequence.id != id);
        for sequence in self.running.extract_if(.., |sequence| sequence.id == id) {
            self.pool.release(&sequence.blocks);
        }
        self.waiting.len() + self.running.len() < before
    }

    /// Decides on the next pass: sets what is scheduled of each running sequence, and returns the copies that come before.
    pub(crate) fn plan(&mut self) -> Vec<(u32, u32)> {
        let Limits { rows_max, step_tokens_max, .. } = self.limits;
        let with_a_row = self.running.iter().filter(|sequence| !sequence.is_parked).count();
        let (mut free_rows, mut tokens) = (rows_max.saturating_sub(with_a_row), step_tokens_max);
        let preemptions = self.usage.preemptions;
        let mut at = 0;
        while at < self.running.len() && tokens > 0 {
            let is_parked = self.running[at].is_parked;
            let has_row = !is_parked || free_rows > 0;
            if self.running[at].remaining() == 1 && has_row && self.make_room(at) {
                tokens -= 1;
                free_rows -= usize::from(is_parked);
                free_rows -= self.running[at].schedule(1, free_rows);
            }
            at += 1;
        }
        // A prompt has all of its blocks since it joined.
        for sequence in self.running.iter_mut().filter(|sequence| sequence.remaining() > 1) {
            if tokens == 0 {
                break;
            }
            let part = sequence.remaining().min(tokens);
            tokens -= part;
            free_rows -= sequence.schedule(part, free_rows);
        }
        // Who has just given blocks back would ask for them again.
        while free_rows > 0 && tokens > 0 && self.usage.preemptions == preemptions && self.running.len() < rows_max {
            let Some(mut sequence) = self.next_with_room() else { break };
            let part = sequence.remaining().min(tokens);
            tokens -= part;
            free_rows -= 1;
            free_rows -= sequence.schedule(part, free_rows);
            self.run(sequence);
        }
        std::mem::take(&mut self.copies)
    }

    /// The sequences that the next pass computes, in the order of its spans.
    pub(crate) fn scheduled(&self) -> impl Iterator<Item = &Sequence> {
        self.running.iter().filter(|sequence| sequence.scheduled > 0)
    }

    /// Of the sequences that the last pass has computed, those whose last token is among what it computed, and those that
    /// it could not compute with numbers, of which it is told in their order. What was computed can be found from now on,
    /// but for theirs: attention multiplies a token that is no number by zero for those before it, and has none for them.
    pub(crate) fn take_computed(&mut self, usable: impl Iterator<Item = bool>) -> Vec<Sequence> {
        let mut taken = HashSet::new();
        for (sequence, is_usable) in self.running.iter_mut().filter(|sequence| sequence.scheduled > 0).zip(usable) {
            let before = sequence.cached / self.block_tokens;
            self.usage.computed_tokens += sequence.scheduled as u64;
            sequence.cached += std::mem::take(&mut sequence.scheduled);
            for block in (before..sequence.cached / self.block_tokens).filter(|_| is_usable) {
                let key = sequence.key(block, self.block_tokens);
                self.pool.keep(key, sequence.blocks[block]);
            }
            if sequence.remaining() == 0 || !is_usable {
                taken.insert(sequence.age());
            }
        }
        self.usage.passes += 1;
        self.running.extract_if(.., |sequence| taken.contains(&sequence.age())).collect()
    }

    /// The samples of a computed sequence that a token was drawn for, each by itself. Those to come stay here.
    pub(crate) fn branch(&mut self, sequence: Sequence) -> Vec<Sequence> {
        let (samples, to_come) = sequence.branched();
        let holders = samples.iter().chain(&to_come);
        holders.skip(1).for_each(|sequence| sequence.blocks.iter().for_each(|block| self.pool.share(*block)));
        to_come.into_iter().for_each(|sequence| self.run(sequence));
        samples
    }

    /// Lets go of the blocks of a sample that has ended.
    pub(crate) fn end(&mut self, sample: &Sequence) {
        self.pool.release(&sample.blocks);
    }

    /// Takes back a sequence that has a token more to compute.
    pub(crate) fn run(&mut self, sequence: Sequence) {
        let at = self.running.partition_point(|other| other.age() < sequence.age());
        self.running.insert(at, sequence);
    }

    /// Undoes what was planned, and everything that blocks hold and nothing can be found by: for a pass that failed.
    pub(crate) fn preempt_all(&mut self) {
        while !self.running.is_empty() {
            self.preempt_youngest();
        }
    }

    /// Makes sure that a sequence may write its next token: that there is a block for it, which is its own. `false` if it
    /// had to give its blocks back itself.
    fn make_room(&mut self, at: usize) -> bool {
        loop {
            let sequence = &self.running[at];
            let place = sequence.cached / self.block_tokens;
            let shared = match sequence.blocks.get(place) {
                Some(block) if !self.pool.is_shared(*block) => return true,
                Some(block) => Some(*block),
                None => None,
            };
            if let Some(block) = self.pool.take() {
                let sequence = &mut self.running[at];
                match shared {
                    Some(from) => {
                        sequence.blocks[place] = block;
                        self.pool.release(&[from]);
                        self.copies.push((from, block));
                        self.usage.copied_blocks += 1;
                    }
                    None => sequence.blocks.push(block),
                }
                return true;
            }
            let is_youngest = at + 1 == self.running.len();
            self.preempt_youngest();
            if is_youngest {
                return false;
            }
        }
    }

    /// The youngest running sequence waits again, without its blocks.
    fn preempt_youngest(&mut self) {
        let Some(mut sequence) = self.running.pop() else { return };
        self.pool.release(&sequence.blocks);
        sequence.blocks.clear();
        (sequence.cached, sequence.scheduled, sequence.drawing, sequence.is_parked) = (0, 0, 0, false);
        self.usage.preemptions += 1;
        let at = self.waiting.partition_point(|other| other.age() < sequence.age());
        self.waiting.insert(at, sequence);
    }

    /// The first waiting sequence with blocks for all of its tokens, those among them that hold its beginning already.
    /// `None` if there is no room, or if its beginning is being computed by another and can be found soon.
    fn next_with_room(&mut self) -> Option<Sequence> {
        let block_tokens = self.block_tokens;
        let sequence = self.waiting.front_mut()?;
        // The last token is computed in any case: its logits are asked for.
        let whole = (sequence.tokens.len() - 1) / block_tokens;
        let found: Vec<u32> =
            (0..whole).map_while(|block| self.pool.find(&sequence.key(block, block_tokens))).collect();
        if found.len() < whole {
            let missing = sequence.key(found.len(), block_tokens);
            if self.keys_under_way().contains(&missing) {
                return None;
            }
        }
        let sequence = self.waiting.front()?;
        let needed = sequence.tokens.len().div_ceil(block_tokens) - found.len();
        let idle = found.iter().filter(|block| self.pool.is_idle(**block)).count();
        // A block more for each that runs already, so that the newcomer is not soon sent away again.
        if self.pool.available() - idle < needed + self.running.len() && !self.running.is_empty() {
            return None;
        }
        let mut sequence = self.waiting.pop_front()?;
        found.iter().for_each(|block| self.pool.share(*block));
        sequence.cached = found.len() * block_tokens;
        self.usage.found_tokens += sequence.cached as u64;
        sequence.blocks = found;
        sequence.blocks.extend((0..needed).map_while(|_| self.pool.take()));
        Some(sequence)
    }

    /// The keys of whole blocks that running sequences are about to compute.
    fn keys_under_way(&mut self) -> HashSet<PrefixKey> {
        let block_tokens = self.block_tokens;
        self.running
            .iter_mut()
            .flat_map(|sequence| {
                let blocks = sequence.cached / block_tokens..sequence.tokens.len() / block_tokens;
                blocks.map(|block| sequence.key(block, block_tokens)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Blocks that no sequence holds.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self) -> usize {
        self.pool.available()
    }

    /// How many sequences there are.
    #[cfg(test)]
    pub(crate) fn sequences(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// What is wrong with the books, if anything.
    #[cfg(test)]
    pub(crate) fn defect(&self) -> Option<String> {
        let by_age = |ages: Vec<(RequestId, usize)>| ages.is_sorted_by(|a, b| a < b);
        let wrong = self.running.iter().find_map(|sequence| {
            let (cached, blocks) = (sequence.cached, sequence.blocks.len());
            let is_wrong =
                cached >= sequence.tokens.len() || cached > blocks * self.block_tokens || sequence.scheduled > 0;
            is_wrong.then(|| {
                format!("{:?}: {cached} of {} tokens in {blocks} blocks", sequence.age(), sequence.tokens.len())
            })
        });
        let is_held = self.waiting.iter().any(|sequence| !sequence.blocks.is_empty() || sequence.cached > 0);
        wrong
            .or_else(|| is_held.then(|| "a waiting sequence has blocks".to_owned()))
            .or_else(|| {
                (!by_age(self.running.iter().map(Sequence::age).collect())).then(|| "running: order".to_owned())
            })
            .or_else(|| {
                (!by_age(self.waiting.iter().map(Sequence::age).collect())).then(|| "waiting: order".to_owned())
            })
            .or_else(|| self.pool.defect(self.limits.blocks, self.running.iter().map(|sequence| &sequence.blocks[..])))
    }
}
