//! The program in an answer: which of the pieces of code that a model wrote is meant, and which belong together.
//!
//! Pieces are read in order, and each either replaces what is meant so far, is added to it, or is passed over. A piece that
//! stands by itself replaces; one that uses what the others define is a part of the program or, where the program runs
//! without it, an example of its use. Whether a program is right is not asked.

use crate::fences::{Block, Fenced};
use crate::info::Language;
use crate::marks::{indented, marked};
use crate::python::{Features, Kind, Module};
use crate::tidy::tidy;

/// A piece of code that may be the program or a part of it.
struct Piece<'a> {
    code: &'a str,
    language: Language,
    is_closed: bool,
    features: Features<'a>,
    /// Whether all of it is Python, and ends where a statement does.
    is_whole: bool,
}

/// The program in an answer without thoughts.
pub(crate) fn solution(answer: &str) -> Option<String> {
    let text = answer.replace("\r\n", "\n").replace('\r', "\n");
    let fenced = Fenced::of(&text);
    if let Some(code) = among(&fenced.blocks) {
        return Some(code);
    }
    // Fences within a line are a program where nothing else is.
    let inline = fenced.inline.iter().rev().find(|block| Module::of(&block.code).is_program());
    if let Some(block) = inline.filter(|_| fenced.blocks.is_empty()) {
        return Some(block.code.clone());
    }
    if let Some(code) = among(&marked(&text)) {
        return Some(code);
    }
    match fenced.has_fences {
        true => None,
        false => bare(&text).or_else(|| among(&indented(&text))),
    }
}

/// Blocks that are held against each other; of more than anybody writes, the last ones.
const BLOCKS_MAX: usize = 200;

/// The program among blocks.
fn among(blocks: &[Block]) -> Option<String> {
    let is_candidate = |block: &&Block| matches!(block.language, Language::Python | Language::Unnamed);
    let left_out = blocks.iter().filter(is_candidate).count().saturating_sub(BLOCKS_MAX);
    let blocks: Vec<&Block> = blocks.iter().filter(is_candidate).skip(left_out).collect();
    // An example's prose may run into a block that was left open.
    let codes: Vec<String> = blocks.iter().map(|block| leading_code(block)).collect();
    let candidates: Vec<(&Block, &String)> = blocks.into_iter().zip(&codes).collect();
    let modules: Vec<Module<'_>> = codes.iter().map(|code| Module::of(code)).collect();
    let pieces: Vec<Piece<'_>> = candidates
        .iter()
        .zip(&modules)
        .filter(|((block, _), module)| match block.language {
            Language::Python => module.has_effect() || hints_at_program(&block.code),
            _ => module.is_program() || hints_at_program(&block.code),
        })
        .map(|((block, code), module)| Piece {
            code,
            language: block.language,
            is_closed: block.is_closed,
            features: Features::of(module),
            is_whole: module.broken_at.is_none() && !module.is_unfinished,
        })
        .collect();
    let mut meant: Vec<usize> = Vec::new();
    for index in 0..pieces.len() {
        match place(&pieces, &meant, index) {
            Place::Replaces => meant = vec![index],
            Place::Completes => {
                meant = completed_by(&pieces, index);
            }
            Place::Joins => meant.push(index),
            Place::Aside => {}
        }
    }
    if !meant.is_empty() {
        let codes: Vec<&str> = meant.iter().map(|index| pieces[*index].code).collect();
        return Some(codes.join("\n"));
    }
    // Python as the fence says, whatever it is: a wrong answer is an answer.
    let named = |closed| {
        let is_named = |block: &&(&Block, &String)| {
            block.0.language == Language::Python && block.0.is_closed == closed && has_code(&block.0.code)
        };
        candidates.iter().rev().find(is_named).map(|(_, code)| (*code).clone())
    };
    named(true).or_else(|| named(false))
}

/// What becomes of a piece.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is the program now.
    Replaces,
    /// It is the program, with the earlier pieces that it needs.
    Completes,
    /// It is added to the program.
    Joins,
    /// It is an example, an excerpt or a test of the program.
    Aside,
}

fn place(pieces: &[Piece<'_>], meant: &[usize], index: usize) -> Place {
    let piece = &pieces[index];
    let Some(&last) = meant.last() else { return Place::Replaces };
    let new = &piece.features;
    let any = |holds: &dyn Fn(&Features<'_>) -> bool| meant.iter().any(|part| holds(&pieces[*part].features));
    let (runs, reads) = (any(&|old| old.runs), any(&|old| old.reads));
    let is_strong = any(&|old| old.is_strong);
    let defines = any(&|old| !old.defines.is_empty());
    let was_whole = meant.iter().all(|part| pieces[*part].is_whole);
    let is_excerpt = meant.iter().any(|part| holds_lines(pieces[*part].code, piece.code));
    let is_test = new.is_test || any(&|old| new.imports_from(old));
    if is_excerpt && was_whole || is_test && is_strong {
        return Place::Aside;
    }
    // What breaks off in the middle is no better than what is whole.
    let broken = !piece.is_whole;
    let cut = !piece.is_closed && !new.runs && runs;
    if was_whole && is_strong && (broken || cut) {
        return Place::Aside;
    }
    if !was_whole && piece.is_whole && new.is_strong && !any(&|old| new.needs_more_than_imports(old)) {
        return Place::Replaces;
    }
    // Text without a language is an example of input or output as often as code.
    if piece.language == Language::Unnamed && pieces[last].language == Language::Python {
        let is_program = !new.defines.is_empty() || new.reads;
        if is_strong && !is_program {
            return Place::Aside;
        }
    }
    let needs = any(&|old| new.needs(old));
    if needs && !runs {
        let is_main = new.reads || !new.defines.is_empty() || new.starts_main && reads;
        return if is_main || !defines { Place::Joins } else { Place::Aside };
    }
    if any(&|old| new.needs_more_than_imports(old)) {
        return Place::Aside;
    }
    if is_strong && (!new.is_strong || new.is_sketch) {
        return Place::Aside;
    }
    // A program that reads its input is not replaced by one that does not: that is a function shown on its own.
    if reads && runs && !new.reads {
        return Place::Aside;
    }
    let earlier = |holds: &dyn Fn(&Features<'_>) -> bool| pieces[..index].iter().any(|piece| holds(&piece.features));
    if earlier(&|old| new.needs_more_than_imports(old)) {
        return Place::Completes;
    }
    // Functions of other names are further parts.
    let only_defines = |features: &Features<'_>| !features.defines.is_empty() && !features.runs;
    let disjoint = meant.iter().all(|part| pieces[*part].features.defines.is_disjoint(&new.defines));
    if only_defines(new) && any(&only_defines) && disjoint && !new.is_sketch {
        return Place::Joins;
    }
    // Imports that stand alone go with what follows.
    if any(&|old| new.needs(old)) { Place::Joins } else { Place::Replaces }
}

/// The piece with all earlier ones that it needs, in order.
fn completed_by(pieces: &[Piece<'_>], index: usize) -> Vec<usize> {
    let mut meant = vec![index];
    for earlier in (0..index).rev() {
        let features = &pieces[earlier].features;
        if !features.is_test && meant.iter().any(|part| pieces[*part].features.needs(features)) {
            meant.push(earlier);
        }
    }
    meant.reverse();
    meant
}

/// Whether one code has the lines of another, one after the other, in whatever indentation.
fn holds_lines(code: &str, excerpt: &str) -> bool {
    let lines = |code: &str| -> Vec<String> {
        code.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let (code, excerpt) = (lines(code), lines(excerpt));
    excerpt.len() < code.len() && holds(&code, &excerpt)
}

/// Whether some items stand within others, one after the other. By Knuth, Morris and Pratt: no item is looked at again,
/// however many are alike.
fn holds(items: &[String], wanted: &[String]) -> bool {
    // For each beginning of what is wanted, the longest shorter one that it ends with.
    let mut fallbacks = vec![0];
    let advance = |mut matched: usize, item: &String, fallbacks: &[usize]| {
        while matched > 0 && wanted.get(matched) != Some(item) {
            matched = fallbacks[matched - 1];
        }
        matched + usize::from(wanted.get(matched) == Some(item))
    };
    for item in wanted.iter().skip(1) {
        fallbacks.push(advance(fallbacks[fallbacks.len() - 1], item, &fallbacks));
    }
    let mut matched = 0;
    !wanted.is_empty()
        && items.iter().any(|item| {
            matched = advance(matched, item, &fallbacks);
            matched == wanted.len()
        })
}

/// The code of a block; where its end is missing, without the prose that follows it.
fn leading_code(block: &Block) -> String {
    match block.is_closed {
        true => block.code.clone(),
        false => before_prose(&block.code).unwrap_or_else(|| block.code.clone()),
    }
}

/// The Python that a text begins with, if more than an idle line of it is; without idle lines at its end, which are
/// headings of what follows.
fn before_prose(text: &str) -> Option<String> {
    let module = Module::of(text);
    let Some(broken_at) = module.broken_at else { return Some(text.to_owned()) };
    let idle = module.statements.iter().rev().take_while(|last| last.kind == Kind::Idle && last.top_level);
    let end = idle.last().map_or(broken_at, |first| first.start);
    module.has_effect().then(|| text[..end].trim_end().to_owned())
}

/// Code that no fence surrounds: the whole text, or what it begins with. Prose before it makes it no program.
fn bare(text: &str) -> Option<String> {
    let code = tidy(text);
    let module = Module::of(&code);
    if module.is_program() {
        return Some(code);
    }
    let beginning = before_prose(&code)?;
    let module = Module::of(&beginning);
    let features = Features::of(&module);
    let is_program = !module.is_unfinished && (features.reads || !features.defines.is_empty() || features.runs);
    (is_program && module.statements.len() > 1).then_some(beginning)
}

/// Whether a block that is no Python was meant to be a program: a line begins as none of data or prose does.
fn hints_at_program(code: &str) -> bool {
    let begins = |line: &str| {
        let line = line.trim_start();
        let heads = ["def ", "class ", "for ", "while ", "async def ", "if ", "with "];
        let is_header = heads.iter().any(|head| line.starts_with(head)) && line.trim_end().ends_with(':');
        let calls = ["print(", "print ", "import ", "from "].iter().any(|head| line.starts_with(head));
        is_header || calls && Module::of(line).broken_at.is_none()
    };
    code.lines().any(begins)
}

/// Whether there is more than comments.
fn has_code(code: &str) -> bool {
    code.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use serde::Deserialize;

    use super::*;

    /// A completion, and the program that it means; how models lay out answers is the file's own collection.
    #[derive(Deserialize)]
    struct Case {
        kind: String,
        completion: String,
        solution: Option<String>,
    }

    #[test]
    fn long_answers_are_read_in_linear_time() {
        for unit in ["x;", "open(", "```python\nx = 1\n```\n", "<pre>x = 1\n</pre>", "lambda:"] {
            let begun = std::time::Instant::now();
            let _any = solution(&unit.repeat(300_000 / unit.len()));
            assert!(begun.elapsed().as_secs() < 60, "{unit:?}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn lines_that_stand_within_others_are_found() {
        let lines = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
        for (items, wanted, expected) in [
            ("aabaabaaab", "aabaaab", true),
            ("abcabd", "abd", true),
            ("abcab", "abd", false),
            ("aaab", "aab", true),
            ("abc", "", false),
        ] {
            assert_eq!(holds(&lines(items), &lines(wanted)), expected, "{items} {wanted}");
        }
    }

    #[test]
    fn idle_lines_at_the_end_of_code_are_cut_whole() {
        for (text, code) in [
            ("print(1)\n\nYES\n# a heading\n5\nThis is prose.", "print(1)"),
            ("print(1)\n'''\na note\n'''\nThis is prose.", "print(1)"),
            ("if x:\n    5\nThis is prose.", "if x:\n    5"),
            ("print(1)  # one\n# two\nThis is prose.", "print(1)  # one\n# two"),
            ("print(1)\n5", "print(1)\n5"),
        ] {
            assert_eq!(before_prose(text).as_deref(), Some(code), "{text:?}");
        }
        assert_eq!(before_prose("YES\n5\nThis is prose."), None);
    }

    #[test]
    fn the_program_is_found_in_every_kind_of_completion() -> Result<(), Box<dyn Error>> {
        let mut wrong = Vec::new();
        for line in include_str!("testdata/completions.jsonl").lines() {
            let case: Case = serde_json::from_str(line)?;
            let found = solution(&hilora_chatml::answer(&case.completion));
            if found != case.solution {
                wrong.push(format!("{}: expected {:?}, got {found:?}", case.kind, case.solution));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }
}
