//! Fingerprints: what is compared of a text.
//!
//! A text is a sequence of words. Where a script writes no spaces, every character stands for a part of a word: a
//! Chinese or Japanese one for a half, a Thai, Lao, Khmer or Burmese letter for a quarter. A run of n words begins at
//! any of them and ends where n words are complete, so that it is a run of the same meaning in every script.
//!
//! A text's shingles are its runs of 5 words (the whole text where it is shorter). Two texts resemble each other as
//! Jaccard's index over their shingle sets says:
//!
//! ```text
//! J(A, B) = |A ∩ B| / |A ∪ B|
//! ```
//!
//! MinHash finds pairs of a high index without comparing all: 112 hash functions in 14 bands of 8, the parameters of
//! datatrove's deduplication. A pair with J = 0.8 shares a band with probability 1 − (1 − 0.8⁸)¹⁴ = 0.92, one with
//! J = 0.9 with 0.9996. What a band proposes is then decided by the exact index, so chance removes nothing.

use std::ops::Range;

/// Characters of a stem.
const STEM_CHARACTERS: usize = 5;
/// Words in a shingle.
const SHINGLE_WORDS: usize = 5;
/// Bands of a text.
pub(super) const BANDS: usize = 14;
const HASHES_PER_BAND: usize = 8;
const HASHES: usize = BANDS * HASHES_PER_BAND;

/// A text as hashes of its words, in order. The last two bits of each say how much of a word it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<u32>);

/// How much of a word a hash stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole = 0,
    Half = 1,
    Quarter = 2,
}

/// In quarters of a word.
const PART_BITS: u32 = 3;
const WORD_QUARTERS: usize = 4;

fn quarters(word: u32) -> usize {
    match word & PART_BITS {
        1 => 2,
        2 => 1,
        _ => WORD_QUARTERS,
    }
}

/// Of a letter whose script writes no spaces between words, how much of a word it is.
fn unspaced(c: char) -> Option<Part> {
    match u32::from(c) {
        // Thai, Lao, Burmese and Khmer.
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0xaa60..=0xaa7f => Some(Part::Quarter),
        // Ideographs, kana, bopomofo.
        0x3005..=0x3007
        | 0x3040..=0x312f
        | 0x31a0..=0x31ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xf900..=0xfaff
        | 0xff66..=0xff9f
        | 0x20000..=0x3ffff => Some(Part::Half),
        _ => None,
    }
}

impl Words {
    /// The words of prose: runs of letters and digits, in lower case.
    pub(super) fn of_text(text: &str) -> Self {
        let mut words = Vec::with_capacity(text.len() / 5);
        let mut hash = FNV_OFFSET;
        let mut within = false;
        for c in text.chars().chain([' ']) {
            // Nearly every character is ASCII, and of those a table knows all that matters.
            let mut part = None;
            let lower = if c.is_ascii() {
                LOWER_OF_WORD[c as usize]
            } else if c.is_alphanumeric() {
                part = unspaced(c);
                c.to_lowercase().next().unwrap_or(c)
            } else {
                NO_LETTER
            };
            if lower != NO_LETTER && part.is_none() {
                hash = fed(hash, lower);
                within = true;
                continue;
            }
            if within {
                words.push(word(hash, Part::Whole));
                (hash, within) = (FNV_OFFSET, false);
            }
            if let Some(part) = part {
                words.push(word(fed(FNV_OFFSET, lower), part));
            }
        }
        Self(words)
    }

    /// For each word of prose its stem, by which a text in other words is known: the first five characters; of a letter
    /// that stands alone that and the next.
    pub(super) fn stems(text: &str) -> Self {
        let mut stems = Vec::new();
        let (mut hash, mut characters) = (FNV_OFFSET, 0);
        let lower = |c: char| c.to_lowercase().next().unwrap_or(c);
        let mut following = text.chars().chain([' ']).peekable();
        while let Some(c) = following.next() {
            let is_letter = c.is_alphanumeric();
            let part = if is_letter { unspaced(c) } else { None };
            if is_letter && part.is_none() {
                hash = if characters < STEM_CHARACTERS { fed(hash, lower(c)) } else { hash };
                characters += 1;
                continue;
            }
            if characters > 0 {
                stems.push(word(hash, Part::Whole));
                (hash, characters) = (FNV_OFFSET, 0);
            }
            if let Some(part) = part {
                let next = following.peek().filter(|next| next.is_alphanumeric() && unspaced(**next).is_some());
                let first = fed(FNV_OFFSET, c);
                stems.push(word(next.map_or(first, |next| fed(first, *next)), part));
            }
        }
        Self(stems)
    }

    /// The words of a program: identifiers and numbers as they are, and every other character that is no space.
    pub(super) fn of_code(code: &str) -> Self {
        let mut words = Vec::with_capacity(code.len() / 2);
        let mut hash = FNV_OFFSET;
        let mut within = false;
        for c in code.chars().chain([' ']) {
            let named =
                if c.is_ascii() { LOWER_OF_WORD[c as usize] != NO_LETTER || c == '_' } else { c.is_alphanumeric() };
            if named {
                hash = fed(hash, c);
                within = true;
                continue;
            }
            if within {
                words.push(word(hash, Part::Whole));
                (hash, within) = (FNV_OFFSET, false);
            }
            if !c.is_whitespace() {
                words.push(word(fed(FNV_OFFSET, c), Part::Whole));
            }
        }
        Self(words)
    }

    /// The words' hashes.
    pub(super) fn hashes(&self) -> &[u32] {
        &self.0
    }

    /// Words whose hashes were kept.
    pub(super) fn from_hashes(hashes: Vec<u32>) -> Self {
        Self(hashes)
    }

    /// How many words there are, the last of them perhaps in part.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| quarters(*word)).sum::<usize>().div_ceil(WORD_QUARTERS)
    }

    /// The hash of the whole text.
    pub(super) fn hash(&self) -> u64 {
        mixed(&self.0)
    }

    /// The hash of a text of these words.
    pub(super) fn hash_of(hashes: &[u32]) -> u64 {
        mixed(hashes)
    }

    /// Every run of `n` words: where it stands among the hashes, and its hash; none where the text is shorter.
    pub(super) fn grams(&self, n: usize) -> impl Iterator<Item = (Range<usize>, u64)> {
        let (mut end, mut within) = (0, 0);
        (0..self.0.len()).map_while(move |start| {
            while within < n * WORD_QUARTERS {
                within += quarters(*self.0.get(end)?);
                end += 1;
            }
            within -= quarters(self.0[start]);
            Some((start..end, mixed(&self.0[start..end])))
        })
    }

    /// The set of shingles, sorted.
    pub(super) fn shingles(&self) -> Shingles {
        let mut set: Vec<u32> = self.grams(SHINGLE_WORDS).map(|(_, gram)| folded(gram)).collect();
        if set.is_empty() {
            set.push(folded(mixed(&self.0)));
        }
        set.sort_unstable();
        set.dedup();
        Shingles(set)
    }
}

/// These hashes of a text in words, for a message.
pub(super) fn words_in_text(text: &str, hashes: Range<usize>) -> String {
    let mut spans: Vec<(Range<usize>, bool)> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
        let (end, alone) = (at + c.len_utf8(), unspaced(c).is_some());
        match spans.last_mut() {
            Some((last, false)) if !alone && last.end == at => last.end = end,
            _ => spans.push((at..end, alone)),
        }
    }
    let mut words = String::new();
    let mut before = true;
    for (span, alone) in spans.into_iter().skip(hashes.start).take(hashes.len()) {
        let joins = before && alone;
        if !joins && !words.is_empty() {
            words.push(' ');
        }
        before = alone;
        words.push_str(&text[span]);
    }
    words
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// What stands in the table for what is neither a letter nor a digit.
const NO_LETTER: char = '\0';

/// The lower case of every ASCII letter and digit.
static LOWER_OF_WORD: [char; 128] = {
    let mut table = [NO_LETTER; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase() as char;
        }
        byte += 1;
    }
    table
};

/// FNV-1a, a character at a time.
fn fed(hash: u64, c: char) -> u64 {
    (hash ^ u64::from(u32::from(c))).wrapping_mul(FNV_PRIME)
}

fn word(hash: u64, part: Part) -> u32 {
    (folded(hash) & !PART_BITS) | part as u32
}

fn folded(hash: u64) -> u32 {
    let mixed = hash ^ (hash >> 29);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

fn mixed(words: &[u32]) -> u64 {
    words.iter().fold(FNV_OFFSET, |hash, word| {
        let hash = (hash ^ u64::from(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 31)
    })
}

/// The hashes of a text's stretches, each in a time that does not grow with its length:
///
/// ```text
/// h(w₁ … wₙ) = Σ wᵢ · Bⁿ⁻ⁱ  modulo 2⁶¹ − 1
/// ```
pub(super) struct StretchHashes {
    /// Of the first i words.
    begins: Vec<u64>,
    /// Bⁱ.
    powers: Vec<u64>,
}

impl StretchHashes {
    const MODULUS: u64 = (1 << 61) - 1;
    const BASE: u64 = 0x1e37_79b9_7f4a_7c15 % Self::MODULUS;

    pub(super) fn of(words: &Words) -> Self {
        let (mut begins, mut powers) = (vec![0], vec![1]);
        for (i, word) in words.hashes().iter().enumerate() {
            begins.push((Self::product(begins[i], Self::BASE) + u64::from(*word)) % Self::MODULUS);
            powers.push(Self::product(powers[i], Self::BASE));
        }
        Self { begins, powers }
    }

    pub(super) fn of_stretch(&self, stretch: Range<usize>) -> u64 {
        let before = Self::product(self.begins[stretch.start], self.powers[stretch.len()]);
        (self.begins[stretch.end] + Self::MODULUS - before) % Self::MODULUS
    }

    fn product(a: u64, b: u64) -> u64 {
        (u128::from(a) * u128::from(b) % u128::from(Self::MODULUS)) as u64
    }
}

/// A set of shingles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shingles(Vec<u32>);

impl Shingles {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Jaccard's index as shared and all shingles.
    fn shared_and_all(&self, other: &Self) -> (usize, usize) {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut shared = 0;
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => _ = left.next(),
                std::cmp::Ordering::Greater => _ = right.next(),
                std::cmp::Ordering::Equal => {
                    shared += 1;
                    left.next();
                    right.next();
                }
            }
        }
        (shared, self.0.len() + other.0.len() - shared)
    }

    /// Whether the two resemble each other by at least [`NEAR`].
    pub(super) fn near(&self, other: &Self) -> bool {
        // At most the smaller set is shared and at least the larger one is all there is.
        let (smaller, larger) = (self.0.len().min(other.0.len()), self.0.len().max(other.0.len()));
        if smaller * 5 < larger * 4 {
            return false;
        }
        let (shared, all) = self.shared_and_all(other);
        shared * 5 >= all * 4
    }

    fn signature(&self) -> [u32; HASHES] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has AVX-512 DQ, and with it F.
            return unsafe { signature_avx512(&self.0) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { signature_avx2(&self.0) };
        }
        signature(&self.0)
    }

    /// One key for each band.
    pub(super) fn bands(&self) -> Bands {
        let signature = self.signature();
        let mut bands = [0; BANDS];
        for (band, hashes) in bands.iter_mut().zip(signature.chunks_exact(HASHES_PER_BAND)) {
            *band = mixed(hashes);
        }
        bands
    }
}

/// From which index of Jaccard's on two texts count as one.
pub(super) const NEAR: f64 = 0.8;

/// The keys under which a text is looked for.
pub(super) type Bands = [u64; BANDS];

/// Keys under which a text is looked for among those of one owner.
pub(super) fn mixed_bands(bands: &Bands, owner: u32) -> Bands {
    bands.map(|band| mixed(&[(band >> 32) as u32, band as u32, owner]))
}

/// The least value of every hash function over the shingles. The compiler makes vectors of the inner loop.
#[inline(always)]
fn signature(shingles: &[u32]) -> [u32; HASHES] {
    let mut signature = [u32::MAX; HASHES];
    for shingle in shingles {
        let x = u64::from(*shingle);
        for (least, (a, b)) in signature.iter_mut().zip(FACTORS.iter().zip(&SUMMANDS)) {
            // Multiply-shift: universal on 32-bit keys.
            *least = (*least).min((a.wrapping_mul(x).wrapping_add(*b) >> 32) as u32);
        }
    }
    signature
}

/// The same, in vectors of eight: AVX-512 DQ multiplies 64-bit integers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn signature_avx512(shingles: &[u32]) -> [u32; HASHES] {
    signature(shingles)
}

/// The same, in vectors of four.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn signature_avx2(shingles: &[u32]) -> [u32; HASHES] {
    signature(shingles)
}

/// The hash functions x ↦ (a·x + b) >> 32: every a, then every b.
static FACTORS: [u64; HASHES] = FUNCTIONS.0;
static SUMMANDS: [u64; HASHES] = FUNCTIONS.1;

/// From the generator SplitMix64 started at 1.
const FUNCTIONS: ([u64; HASHES], [u64; HASHES]) = {
    let (mut factors, mut summands) = ([0; HASHES], [0; HASHES]);
    let mut state = 1_u64;
    let mut index = 0;
    while index < HASHES {
        let (a, next) = split_mix(state);
        let (b, next) = split_mix(next);
        (factors[index], summands[index]) = (a | 1, b);
        state = next;
        index += 1;
    }
    (factors, summands)
};

const fn split_mix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31), state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[u32]) -> String {
        words.iter().map(|word| format!("w{word} ")).collect()
    }

    #[test]
    fn case_and_punctuation_make_no_word() {
        assert_eq!(Words::of_text("Add two, numbers!"), Words::of_text(" add TWO numbers"));
        assert_ne!(Words::of_text("two add numbers"), Words::of_text("add two numbers"));
        assert_eq!(Words::of_code("a=b+1"), Words::of_code("a  =  b + 1\n"));
        assert_ne!(Words::of_code("a=B"), Words::of_code("a=b"));
        assert_eq!(words_in_text("One, two: (three) four.", 1..3), "two three");
        assert_eq!(Words::of_text("a b c").grams(4).count(), 0);
        assert_eq!(Words::of_text("a b c").grams(2).map(|(run, _)| run).collect::<Vec<_>>(), [0..2, 1..3]);
    }

    #[test]
    fn a_character_of_a_script_without_spaces_is_a_part_of_a_word() {
        for (text, hashes, words) in
            [("给定一个整数。", 6, 3), ("数 array の長さ", 5, 3), ("จำนวนเต็ม", 8, 2), ("합계를 구하시오", 2, 2)]
        {
            let found = Words::of_text(text);
            assert_eq!((found.hashes().len(), found.count()), (hashes, words), "{text}");
        }
        // A run begins at any character, and has as many as make its words.
        let text = Words::of_text("一二三四五六 seven");
        assert_eq!(text.grams(2).map(|(run, _)| run).collect::<Vec<_>>(), [0..4, 1..5, 2..6, 3..7, 4..7]);
        assert_eq!(words_in_text("返回数组 nums 的和。", 2..6), "数组 nums 的");
    }

    #[test]
    fn every_word_has_a_stem() {
        let text = "Sorted arrays, sorting 数组 の a ค่า";
        assert_eq!(Words::stems(text).hashes().len(), Words::of_text(text).hashes().len());
        assert_eq!(Words::stems("arrays"), Words::stems("ARRAY"));
        assert_ne!(Words::stems("array"), Words::stems("arrow"));
    }

    #[test]
    fn the_index_is_exact() {
        // 24 words give 20 shingles; another last word changes one of them: 19 shared of 21.
        let words: Vec<u32> = (0..24).collect();
        let mut other = words.clone();
        other[23] = 99;
        let (a, b) = (Words::of_text(&text(&words)).shingles(), Words::of_text(&text(&other)).shingles());
        assert_eq!(a.shared_and_all(&b), (19, 21));
        assert!(a.near(&b) && a.near(&a));
        other[10] = 98;
        let c = Words::of_text(&text(&other)).shingles();
        assert_eq!(a.shared_and_all(&c), (14, 26));
        assert!(!a.near(&c));
    }

    #[test]
    fn signatures_are_the_same_on_every_processor() {
        let shingles = Words::of_text(&text(&(0..500).collect::<Vec<_>>())).shingles();
        assert_eq!(shingles.signature(), signature(&shingles.0));
    }

    #[test]
    fn a_short_text_is_one_shingle() {
        assert_eq!(Words::of_text("yes no").shingles().count(), 1);
        assert_eq!(Words::of_text("").shingles().count(), 1);
    }
}
