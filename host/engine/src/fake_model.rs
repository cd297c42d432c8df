//! A fake model for tests. It computes nothing, but it remembers in the cache's blocks which token stands at which place
//! under which adapter, and its logits are a hash of all that a sequence's blocks hold. So a wrong block, a missing copy, a
//! prefix of another adapter or a block that was handed out twice is an error or changes tokens.

use std::cell::Cell;
use std::rc::Rc;

use super::forward::Forward;
use super::stop_strings::TokenText;
use hilora_model::{LogitRows, ModelError, Span};

/// Tokens that a block of the fake holds.
pub(crate) const BLOCK_TOKENS: usize = 4;

/// The fake's vocabulary.
pub(crate) const VOCABULARY: usize = 29;

/// The fake's longest sequence.
pub(crate) const LENGTH_MAX: usize = 96;

/// What one place of the cache holds.
#[derive(Debug, Clone, Copy)]
struct Place {
    token: u32,
    position: usize,
    adapter: Option<usize>,
    /// The pass and the span that wrote it.
    written: (u64, usize),
}

/// The fake.
#[derive(Default)]
pub(crate) struct FakeModel {
    places: Vec<Option<Place>>,
    passes: u64,
    /// The most tokens of one pass so far, and the most spans.
    pub(crate) largest: Rc<Cell<(usize, usize)>>,
    /// The pass that fails.
    pub(crate) failing: Option<u64>,
    /// One beginning of a sequence in so many has no numbers, nor has what follows it.
    pub(crate) poisoned: Option<u64>,
    /// The most blocks that there is memory for.
    pub(crate) blocks_max: Option<usize>,
}

fn mixed(hash: u64, more: u64) -> u64 {
    // The finalizer of SplitMix64.
    let mut z = (hash ^ more).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl FakeModel {
    fn place(span: &Span<'_>, position: usize) -> Result<usize, ModelError> {
        let block = span.blocks.get(position / BLOCK_TOKENS).ok_or_else(|| defect("a span without a block"))?;
        Ok(*block as usize * BLOCK_TOKENS + position % BLOCK_TOKENS)
    }

    /// The logits after a position, of all that is in the cache up to it.
    fn row(&self, span: &Span<'_>, index: usize, position: usize) -> Result<Vec<f32>, ModelError> {
        let mut hash = span.adapter.map_or(0, |adapter| adapter as u64 + 1);
        let mut is_poisoned = false;
        for at in 0..=position {
            let held = self.places.get(Self::place(span, at)?).copied().flatten();
            let held = held.ok_or_else(|| defect("a place that nothing was written to"))?;
            let is_of_another = held.written.0 == self.passes && held.written.1 != index;
            if held.position != at || held.adapter != span.adapter || is_of_another {
                return Err(defect("a place of another sequence"));
            }
            hash = mixed(hash, u64::from(held.token) << 32 | at as u64);
            is_poisoned |= self.poisoned.is_some_and(|one_in| hash.is_multiple_of(one_in));
        }
        if is_poisoned {
            return Ok(vec![f32::NAN; VOCABULARY]);
        }
        let logit = |token: u64| (mixed(hash, token) >> 40) as f32 / (1u64 << 24) as f32 * 8.0 - 4.0;
        Ok((0..VOCABULARY as u64).map(logit).collect())
    }
}

fn defect(message: &str) -> ModelError {
    ModelError::Defect(message.to_owned())
}

impl Forward for FakeModel {
    fn block_tokens(&self) -> usize {
        BLOCK_TOKENS
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn length_max(&self) -> usize {
        LENGTH_MAX
    }

    fn adapters(&self) -> usize {
        3
    }

    fn reserve(&mut self, blocks: usize) -> Result<(), ModelError> {
        if self.blocks_max.is_some_and(|most| blocks > most) {
            return Err(defect("there is no memory for so many blocks"));
        }
        self.places.resize((blocks * BLOCK_TOKENS).max(self.places.len()), None);
        Ok(())
    }

    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        let from = from as usize * BLOCK_TOKENS;
        self.places.copy_within(from..from + BLOCK_TOKENS, to as usize * BLOCK_TOKENS);
        Ok(())
    }

    fn forward(&mut self, spans: &[Span<'_>]) -> Result<Vec<f32>, ModelError> {
        self.passes += 1;
        for (index, span) in spans.iter().enumerate() {
            for (position, token) in (span.start..).zip(span.tokens) {
                let place = Self::place(span, position)?;
                let held = self.places.get_mut(place).ok_or_else(|| defect("a block that was not reserved"))?;
                if held.is_some_and(|held| held.written.0 == self.passes) {
                    return Err(defect("two spans write to one block"));
                }
                let written = (self.passes, index);
                *held = Some(Place { token: *token, position, adapter: span.adapter, written });
            }
        }
        if self.failing == Some(self.passes) {
            return Err(defect("this pass was to fail"));
        }
        let tokens = spans.iter().map(|span| span.tokens.len()).sum();
        let (most_tokens, most_spans) = self.largest.get();
        self.largest.set((most_tokens.max(tokens), most_spans.max(spans.len())));
        let mut logits = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            let end = span.start + span.tokens.len();
            let rows = match span.logits {
                LogitRows::None => end..end,
                LogitRows::Last => end - 1..end,
                LogitRows::All => span.start..end,
            };
            for position in rows {
                logits.extend(self.row(span, index, position)?);
            }
        }
        Ok(logits)
    }
}

/// The fake's text: a letter for each token, and none for one of them.
pub(crate) struct FakeText;

/// The token without text.
const SILENT_TOKEN: u32 = 5;

impl TokenText for FakeText {
    fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
        if tokens.ends_with(&[SILENT_TOKEN]) {
            return Err(defect("a token without text"));
        }
        Ok(tokens.iter().map(|token| char::from(b'A' + *token as u8)).collect())
    }
}
