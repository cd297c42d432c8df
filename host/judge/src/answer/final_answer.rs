//! The final answer of a text: what a model says last, and says to be the answer. In this order: what stands in the last
//! `\boxed{…}`, behind the last `####`, behind the last "answer is" or "answer:", or a last line that is wholly a number or a
//! formula. A number somewhere in a sentence is no answer.

use super::equality::is_formula;

/// Where a reasoning model's thoughts end; what it thought is no answer.
const THOUGHT_END: &str = "</think>";
/// What GSM8K puts before an answer.
const MARK: &str = "####";
/// The commands of boxes.
const BOXES: [&str; 2] = ["\\boxed", "\\fbox"];
/// How sentences begin that say the answer.
const PHRASES: [&str; 5] = ["answer is", "answer:", "answer :", "answer**:", "answer** :"];
/// Words that go on after an answer.
const GOES_ON: [&str; 7] = [". ", ", as ", ", because ", ", since ", ", which ", " because ", " since "];
/// What models and templates end a text with.
const ENDS: [&str; 5] = ["</s>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>"];

/// The final answer of a text; `None` if it has none.
pub fn final_answer(text: &str) -> Option<&str> {
    let said = text.rsplit_once(THOUGHT_END).map_or(text, |(_, said)| said);
    let has_value = |line: &&str| line.contains(|c: char| c.is_ascii_digit() || c == '\\');
    // A heading of Markdown may stand behind the mark of GSM8K.
    let answer = boxed(said)
        .or_else(|| marked(said).filter(has_value))
        .or_else(|| phrased(said))
        .or_else(|| marked(said))
        .or_else(|| last_line(said))?;
    let answer = trimmed(answer);
    // `#### The answer is 18`.
    let answer = phrased(answer).map_or(answer, trimmed);
    (!answer.is_empty()).then_some(answer)
}

/// What stands in the last box that is not empty.
fn boxed(text: &str) -> Option<&str> {
    let mut boxes: Vec<(usize, &str)> = BOXES.iter().flat_map(|name| text.match_indices(name)).collect();
    boxes.sort_unstable();
    let mut end = text.len();
    let mut found = None;
    // Each is looked at up to the beginning of the one behind it, which was empty.
    for (begin, name) in boxes.into_iter().rev() {
        found = in_box(&text[begin + name.len()..end]);
        if found.is_none_or(|inner| !inner.trim().is_empty()) {
            break;
        }
        end = begin;
    }
    found
}

/// What stands in the box whose command ends here, if that ends.
fn in_box(text: &str) -> Option<&str> {
    let rest = text.trim_start();
    let Some(inner) = rest.strip_prefix('{') else {
        // `\boxed 5`.
        return rest.split(|c: char| c.is_whitespace() || c == '$').next();
    };
    let mut depth = 1_usize;
    let mut is_escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '{' if !is_escaped => depth += 1,
            '}' if !is_escaped => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inner[..at]);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

fn marked(text: &str) -> Option<&str> {
    let at = text.rfind(MARK)?;
    text[at + MARK.len()..].lines().next()
}

/// The rest of the sentence behind the last phrase.
fn phrased(text: &str) -> Option<&str> {
    // Only ASCII changes, so that places stay what they are.
    let lower = text.to_ascii_lowercase();
    let end = PHRASES.iter().filter_map(|phrase| Some(lower.rfind(phrase)? + phrase.len())).max()?;
    let rest = text[end..].trim_start_matches([':', ' ', '*', '\n']);
    let line = rest.lines().next()?;
    // A point that ends a sentence has white space behind it, and one in a number has not.
    let end = GOES_ON.iter().filter_map(|words| line.find(words)).min();
    Some(&line[..end.unwrap_or(line.len())])
}

fn last_line(text: &str) -> Option<&str> {
    let line = trimmed(text.lines().rev().find(|line| !line.trim().is_empty())?);
    is_formula(line).then_some(line)
}

/// Without what only sets the answer off.
fn trimmed(answer: &str) -> &str {
    let mut left = answer.trim();
    loop {
        let mut answer = left.trim_matches('*').trim_start_matches('=').trim();
        for end in ENDS {
            answer = answer.strip_suffix(end).unwrap_or(answer);
        }
        let answer = if answer.ends_with("\\.") { answer } else { answer.trim_end_matches('.') }.trim();
        if answer == left {
            return answer;
        }
        left = answer;
    }
}
