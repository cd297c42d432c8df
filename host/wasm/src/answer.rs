//! The size of an answer: how much a guest may hand over to the host in one call, and how much of its words is kept.
//!
//! wasmtime counts what it lifts out of a guest, bytes of text and the host's own size of each item of a list, and ends
//! the call before more than the bound is copied. A guest that points a million items at one text is counted a million
//! times. The bound holds for each call of a host function as well, so it is never below what a guest may write at once.

use hilora_contract::plugin::RunLimits;

/// Names, reasons and other words about something that the host has already.
pub(super) const WORDS_BYTES_MAX: u64 = 1 << 20;
/// What is said of a batch of problems: each gets domains with scores and what spoke for them.
pub(super) const CLASSIFIED_BYTES_MAX: u64 = 16 << 20;
/// Rows of one batch: a batch of a real dataset is larger than wasmtime's default of 128 MiB.
pub(super) const ROWS_BYTES_MAX: u64 = 512 << 20;
/// Sequences of one batch of lessons or problems, in both of their forms.
pub(super) const SEQUENCES_BYTES_MAX: u64 = 256 << 20;

/// What a write to an output takes beside the bytes that it writes.
const WRITE_BYTES: u64 = 4 << 10;

/// The most characters of a guest's own words that an error or a report repeats.
const WORDS_CHARACTERS_MAX: usize = 2_000;

/// Of longer words, so many characters of the beginning are kept.
const BEGINNING_CHARACTERS: usize = 500;

/// What says how much was left out takes at most so many.
const LEFT_OUT_CHARACTERS: usize = 40;

/// The most characters of a name.
pub(super) const NAME_CHARACTERS_MAX: usize = 200;

/// The bound that a store gets so that answers may have `bytes_max`, in bytes.
pub(super) fn hostcall_fuel(bytes_max: u64, limits: &RunLimits) -> usize {
    let written = limits.output_bytes_max.saturating_add(WRITE_BYTES);
    usize::try_from(bytes_max.max(written)).unwrap_or(usize::MAX)
}

/// Whether a call ended because its answer is larger than it may be. wasmtime has no public type for it, so its words
/// decide; a test holds them.
pub(super) fn is_too_large(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().starts_with("too much data is being copied between the host and the guest")
}

/// A guest's words; of long ones the beginning and the end, because a traceback says at its end what happened.
pub(super) fn shortened(words: &str) -> String {
    let characters = words.chars().count();
    if characters <= WORDS_CHARACTERS_MAX {
        return words.to_owned();
    }
    let kept = WORDS_CHARACTERS_MAX - BEGINNING_CHARACTERS - LEFT_OUT_CHARACTERS;
    let left_out = characters - BEGINNING_CHARACTERS - kept;
    format!("{} […{left_out} characters…] {}", cut(words, BEGINNING_CHARACTERS), last(words, kept))
}

/// The beginning of a name that a guest gives.
pub(super) fn shortened_name(name: &str) -> String {
    cut(name, NAME_CHARACTERS_MAX)
}

/// The end of what a guest wrote, where a panic and a trace say what happened.
pub(super) fn ending(words: &str) -> &str {
    last(words, WORDS_CHARACTERS_MAX)
}

fn cut(words: &str, characters_max: usize) -> String {
    words.chars().take(characters_max).collect()
}

fn last(words: &str, characters_max: usize) -> &str {
    let before = words.chars().count().saturating_sub(characters_max);
    words.char_indices().nth(before).map_or("", |(start, _)| &words[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_words_both_ends_are_kept_and_of_a_trace_its_end() {
        let words = format!("begins{}ends ü", "x".repeat(1 << 20));
        let short = shortened(&words);
        assert!(short.starts_with("beginsxxx") && short.ends_with("xxxends ü"), "{short}");
        assert!(short.contains(" […1046628 characters…] ") && short.chars().count() <= WORDS_CHARACTERS_MAX, "{short}");
        assert_eq!(shortened(&"ü".repeat(WORDS_CHARACTERS_MAX)), "ü".repeat(WORDS_CHARACTERS_MAX));
        let words = format!("{}ü", "x".repeat(WORDS_CHARACTERS_MAX));
        assert_eq!(ending(&words), format!("{}ü", "x".repeat(WORDS_CHARACTERS_MAX - 1)));
        assert_eq!((shortened("ü"), ending("ü"), ending("")), ("ü".to_owned(), "ü", ""));
    }
}
