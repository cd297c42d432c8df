//! Inputs that nobody chose for the plugin: ordinary texts, the same in every run, and hostile ones, each with a name.

use hilora_contract::dataset::ProblemText;

/// How large the large ones are.
const LARGE_BYTES: usize = 1 << 20;
/// How many ordinary texts there are.
const ORDINARY: usize = 48;

const WORDS: [&str; 24] = [
    "given",
    "array",
    "of",
    "integers",
    "print",
    "the",
    "longest",
    "string",
    "graph",
    "tree",
    "number",
    "sum",
    "find",
    "shortest",
    "path",
    "between",
    "two",
    "words",
    "palindrome",
    "stack",
    "modulo",
    "prime",
    "letters",
    "queries",
];

/// Ordinary problems, no two alike.
pub(crate) fn ordinary() -> Vec<ProblemText> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut word = || {
        // Xorshift: any sequence will do that is the same everywhere.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        WORDS[(state % WORDS.len() as u64) as usize]
    };
    let problem = |index: usize| {
        let mut words = |count: usize| (0..count).map(|_| word()).collect::<Vec<_>>().join(" ");
        ProblemText {
            id: format!("ordinary-{index}"),
            title: words(index % 4),
            statement: format!("{}.\n\nInput: {}.\n", words(5 + index * 3), words(4)),
            tags: (0..index % 3).map(|_| words(1)).collect(),
            difficulty: index.is_multiple_of(2).then(|| "easy".to_owned()),
        }
    };
    (0..ORDINARY).map(problem).collect()
}

/// Texts that a careless program does not stand, by their names.
pub(crate) fn hostile_texts() -> Vec<(&'static str, String)> {
    vec![
        ("an empty text", String::new()),
        ("white space", " \t\r\n\u{a0}\u{2003}".to_owned()),
        ("NUL", "a\0b\0".to_owned()),
        ("every control character", (0..0xa0).filter_map(char::from_u32).filter(|c| c.is_control()).collect()),
        ("escape sequences", "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m".to_owned()),
        ("marks of direction", "\u{202e}evil\u{2066}\u{202c}".to_owned()),
        ("combining marks without a letter", "\u{301}\u{308}".repeat(500)),
        ("the ends of Unicode", "\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10ffff}\u{feff}".to_owned()),
        ("an escaped half of a character", r#"\ud800 \udfff {"a": "\ud800"}"#.to_owned()),
        ("letters that change their length", "İıẞßﬀǅΣς".repeat(200)),
        ("marks that open and never close", "```python\n<think>\n\"'([{<|im_start|>$$".repeat(50)),
        ("marks that close and never open", "\n```</think>\"')]}<|im_end|>".repeat(50)),
        ("deep JSON", "[".repeat(100_000)),
        ("deep objects", "{\"a\":".repeat(50_000)),
        ("numbers without an end", format!("-1e999 {} 0x 1e 1.", "9".repeat(5_000))),
        ("a regular expression's nightmare", format!("{}!", "a".repeat(20_000))),
        ("one large word", "a".repeat(LARGE_BYTES)),
        ("many short words", "tree dp ".repeat(LARGE_BYTES / 8)),
        ("many empty lines", "\n".repeat(LARGE_BYTES)),
        ("many characters of four bytes", "🙂".repeat(LARGE_BYTES / 4)),
    ]
}

/// The same as problems: the text is the statement, and if it is short the title and a tag, too.
pub(crate) fn hostile_problems() -> Vec<(&'static str, ProblemText)> {
    let problem = |(index, (name, text)): (usize, (&'static str, String))| {
        let short: String = text.chars().take(1_000).collect();
        let problem = ProblemText {
            id: format!("hostile-{index}"),
            title: short.clone(),
            statement: text,
            tags: vec![short.clone(), String::new()],
            difficulty: Some(short),
        };
        (name, problem)
    };
    hostile_texts().into_iter().enumerate().map(problem).collect()
}

/// Bytes that are no text, or no file of any format.
pub(crate) fn hostile_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let mut bytes: Vec<_> = hostile_texts().into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    let noise = (0..65_536_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    bytes.extend([
        ("noise", noise),
        ("invalid UTF-8", b"\xff\xfe\xc3(\xed\xa0\x80\xf0\x9f".to_vec()),
        ("the beginning of a compressed file", b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec()),
        ("the beginning of a Parquet file", b"PAR1\0\0\0\0\xff\xff\xff\x7fPAR1".to_vec()),
        ("a line of JSON that is cut off", b"{\"id\": \"a\", \"tests\": [{\"inp".to_vec()),
    ]);
    bytes
}

/// The bytes as damage leaves them: cut off, and with a bit flipped, at some places each.
pub(crate) fn damaged(bytes: &[u8], places: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = bytes.len().div_ceil(places).max(1);
    (0..bytes.len()).step_by(step).flat_map(move |at| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        [bytes[..at].to_vec(), flipped]
    })
}
