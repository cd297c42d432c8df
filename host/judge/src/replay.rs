//! A replay: judgements held against those that were made before, in the order of the programs. Times are measurements
//! and may differ; nothing else may.

use serde::Serialize;

use super::judged_program::{JudgedProgram, JudgedTest};

/// A program that was judged otherwise before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The program's.
    pub id: String,
    /// What differs: before, and now.
    pub what: String,
}

/// How a judgement differs from the one that was made before in its place.
pub fn difference(before: Option<&JudgedProgram>, now: &JudgedProgram) -> Option<Difference> {
    let what = match before {
        None => "it was not judged before".to_owned(),
        Some(before) if before.id != now.id => format!("in its place `{}` was judged before", before.id),
        Some(before) if before.receipt != now.receipt => {
            format!("it was judged from something else: {:?}, now {:?}", before.receipt, now.receipt)
        }
        Some(before) if (before.verdict, &before.refused) != (now.verdict, &now.refused) => {
            format!("{} before, {} now", word(before), word(now))
        }
        Some(before) => {
            let mut tests = before.tests.iter().map(facts).zip(now.tests.iter().map(facts)).enumerate();
            let differing = tests.find(|(_, (before, now))| before != now);
            let mut outputs = before.tests.iter().zip(&now.tests).enumerate();
            // A judgement that was made without them says nothing of its outputs.
            let output = outputs.find_map(|(index, (before, now))| match (&before.mismatch, &now.mismatch) {
                (Some(before), Some(now)) if before != now => Some(format!("test {}: another output", index + 1)),
                _ => None,
            });
            let count = (before.tests.len() != now.tests.len())
                .then(|| format!("{} tests before, {} now", before.tests.len(), now.tests.len()));
            let test = |(index, (before, now)): (usize, (String, String))| {
                format!("test {}: {before} before; {now} now", index + 1)
            };
            differing.map(test).or(output).or(count)?
        }
    };
    Some(Difference { id: now.id.clone(), what })
}

/// A judgement that was made before of a program that is not among those of now.
pub(super) fn left_over(before: &JudgedProgram) -> Difference {
    Difference { id: before.id.clone(), what: "it is not among the programs".to_owned() }
}

fn word(judged: &JudgedProgram) -> String {
    match (judged.verdict, &judged.refused) {
        (Some(verdict), _) => verdict.to_string(),
        (None, Some(why)) => format!("not judged ({why})"),
        (None, None) => "not judged".to_owned(),
    }
}

/// Everything of a test but its times.
fn facts(test: &JudgedTest) -> String {
    let JudgedTest { verdict, exit_code, exception, fuel, memory_bytes, stdout_bytes, detail, .. } = test;
    format!(
        "{verdict} ({detail}), exit code {exit_code:?}, exception {exception:?}, fuel {fuel}, memory {memory_bytes}, \
         {stdout_bytes} bytes of output"
    )
}
