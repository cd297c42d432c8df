//! Thoughts: what a reasoning model writes for itself before it answers, between marks such as `<think>` and `</think>`.
//!
//! A mark that stands between quotes, or on a line that is a comment of Python, is a mention and no mark. This knows
//! nothing of what an answer holds.

/// The marks that begin and end a thought, in lower case; in a text they may be in any case.
const MARKS: [(&str, &str); 14] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|thinking|>", "<|/thinking|>"),
];

/// A mark in a text.
struct Mark {
    start: usize,
    end: usize,
    /// Its row of `MARKS`.
    pair: usize,
    opens: bool,
}

/// The completion without its thoughts. A thought without a beginning began in the prompt, so that all before its end goes
/// with it; a thought without an end was cut off, and the rest of the text is that thought.
pub fn answer(completion: &str) -> String {
    let mut answer = String::new();
    let mut rest = completion;
    while let Some(mark) = marks(rest).next() {
        if mark.opens {
            push(&mut answer, &rest[..mark.start]);
            rest = &rest[mark.end..];
            let end = marks(rest).find(|end| end.pair == mark.pair && !end.opens);
            match end {
                Some(end) => rest = &rest[end.end..],
                None => return answer,
            }
        } else {
            answer.clear();
            rest = &rest[mark.end..];
        }
    }
    push(&mut answer, rest);
    answer
}

/// Adds a part as lines of its own.
fn push(answer: &mut String, part: &str) {
    if !answer.is_empty() && !answer.ends_with('\n') {
        answer.push('\n');
    }
    answer.push_str(part);
}

/// The marks of a text that are no mentions, in order.
fn marks(text: &str) -> impl Iterator<Item = Mark> + '_ {
    let mut line = 0;
    text.char_indices().filter_map(move |(start, c)| {
        if c == '\n' {
            line = start + 1;
        }
        if !matches!(c, '<' | '[' | '◁') {
            return None;
        }
        let mark = mark_at(text, start)?;
        (!is_mention(text, &mark, line)).then_some(mark)
    })
}

fn mark_at(text: &str, start: usize) -> Option<Mark> {
    let rest = &text.as_bytes()[start..];
    let is_here = |mark: &str| rest.get(..mark.len()).is_some_and(|here| here.eq_ignore_ascii_case(mark.as_bytes()));
    MARKS.iter().enumerate().find_map(|(pair, (begin, end))| match (is_here(begin), is_here(end)) {
        (true, _) => Some(Mark { start, end: start + begin.len(), pair, opens: true }),
        (_, true) => Some(Mark { start, end: start + end.len(), pair, opens: false }),
        _ => None,
    })
}

/// `line` is where the mark's line begins.
fn is_mention(text: &str, mark: &Mark, line: usize) -> bool {
    let quote = |c: char| matches!(c, '\'' | '"' | '`');
    let (before, after) = (&text[..mark.start], &text[mark.end..]);
    // A fence that follows an answer's mark is no quote.
    let quoted_after = after.starts_with(quote) && !["```", "'''", "\"\"\""].iter().any(|run| after.starts_with(run));
    let quoted_before = before.ends_with(quote) && !before.ends_with("```");
    quoted_before || quoted_after || text[line..].trim_start().starts_with("# ")
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn the_answer_is_what_is_no_thought() {
        for (completion, expected) in [
            ("4", "4"),
            ("<think>\nhm\n</think>\n\n4", "\n\n4"),
            ("<THINK>hm</Think>4", "4"),
            ("hm\n</think>4", "4"),
            ("<think>a <think> b </think> c </think>4", "4"),
            ("<think>a</think>4\n<think>b</think>5", "4\n5"),
            ("<thinking>a</think> b</thinking>4", "4"),
            ("<think>hm", ""),
            ("4\n<think>wait", "4\n"),
            ("◁think▷hm◁/think▷4", "4"),
            ("[THINK]hm[/THINK]4", "4"),
            ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4", "4"),
            ("", ""),
        ] {
            assert_eq!(answer(completion), expected, "{completion:?}");
        }
    }

    #[test]
    fn a_mention_is_no_mark() {
        for text in ["print('<think>')", "# <think>\n4\n# </think>", "Write `</think>` then.", "s = \"</think>\""] {
            assert_eq!(answer(text), text);
        }
        assert_eq!(answer("hm</think>```python\n4\n```"), "```python\n4\n```");
        assert_eq!(answer("<think>```\nhm```</think>4"), "4");
    }

    /// A model that goes round in a circle writes one line of them.
    #[test]
    fn many_marks_of_one_line_take_no_longer_each_than_few() {
        let begun = std::time::Instant::now();
        assert_eq!(answer(&"<think>".repeat(300_000)), "");
        assert_eq!(answer(&format!("{}4", "<think></think>".repeat(150_000))), "4");
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
