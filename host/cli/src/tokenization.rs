//! Tokenization: rows become segments in the formatter and tokens in the model's tokenizer, on all cores.

use anyhow::Result;
use rayon::prelude::*;

use super::Console;
use hilora_contract::dataset::{
    Conversation, ConversationLesson, Example, Lesson, PolicyExample, PolicyLesson, ProblemText,
};
use hilora_contract::plugin::{FormatterExample, FormatterLesson, PromptFormatter, Segment, SegmentKind};
use hilora_model::Tokenizer;
use hilora_trainer::TrainingSample;

/// Rows that are formatted and tokenized together; the text of no more stands in memory.
const CHUNK_ROWS: usize = 512;

/// Rows as token ids with the mask that the formatter drew, in their order.
pub(super) fn tokenize(
    formatter: &dyn PromptFormatter,
    tokenizer: &Tokenizer,
    specialist: &str,
    lessons: &[Lesson],
    label: &str,
    console: Console,
) -> Result<Vec<TrainingSample>> {
    let bar = console.progress().stage(label, lessons.len() as u64, "rows");
    let mut samples = Vec::with_capacity(lessons.len());
    for (chunk, lessons) in lessons.chunks(CHUNK_ROWS).enumerate() {
        let id = |row: usize| format!("row {}", chunk * CHUNK_ROWS + row);
        let rows: Vec<FormatterLesson> =
            lessons.iter().enumerate().map(|(row, lesson)| formatter_lesson(id(row), lesson)).collect();
        let sequences = formatter.format_lessons(specialist, &rows)?;
        let tokenized: Vec<TrainingSample> =
            sequences.par_iter().map(|segments| sample_of(tokenizer, segments)).collect::<Result<_>>()?;
        bar.advance(tokenized.len() as u64);
        samples.extend(tokenized);
    }
    bar.finish();
    Ok(samples)
}

/// A row as a formatter takes it.
pub(super) fn formatter_lesson(id: String, lesson: &Lesson) -> FormatterLesson {
    match lesson.clone() {
        Lesson::Solved(Example { problem, reasoning, solution, domain, difficulty }) => {
            let problem = ProblemText { id, title: String::new(), statement: problem, tags: Vec::new(), difficulty };
            FormatterLesson::Solved(FormatterExample { problem, reasoning, solution, domain })
        }
        Lesson::Conversation(ConversationLesson { messages, difficulty, .. }) => {
            FormatterLesson::Conversation(Conversation { id, messages, tags: Vec::new(), difficulty })
        }
        Lesson::Policy(PolicyLesson { instruction, policy, actions, outputs, difficulty, .. }) => {
            let tags = Vec::new();
            FormatterLesson::Policy(PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty })
        }
    }
}

/// A row's tokens, and which of them are targets.
pub(super) fn sample_of(tokenizer: &Tokenizer, segments: &[Segment]) -> Result<TrainingSample> {
    let mut sample = TrainingSample { tokens: Vec::new(), trained: Vec::new() };
    for segment in segments {
        let tokens = match segment.kind {
            SegmentKind::Control => tokenizer.encode_control(&segment.text)?,
            SegmentKind::Content => tokenizer.encode_content(&segment.text)?,
        };
        sample.trained.extend(std::iter::repeat_n(segment.trained, tokens.len()));
        sample.tokens.extend(tokens);
    }
    Ok(sample)
}
