//! Tokenization: rows become segments in the formatter and tokens in the model's tokenizer, on all cores.

use hilora_contract::dataset::{
    Conversation, ConversationLesson, Example, Lesson, PolicyExample, PolicyLesson, ProblemText, Segment,
};
use hilora_contract::plugin::{FormatterExample, FormatterLesson, PromptFormatter};
use hilora_model::{ModelError, Tokenizer};
use hilora_trainer::TrainingSample;
use rayon::prelude::*;

use super::error::RunError;
use super::formatter_promises::FormatterPromises;
use super::observer::{RunObserver, Task};

/// Rows that are formatted and tokenized together; the text of no more is in memory.
const CHUNK_ROWS: usize = 512;

/// Rows as token ids with the mask that the formatter drew, in their order. What the formatter promises of them is held.
pub fn tokenize(
    formatter: &dyn PromptFormatter,
    tokenizer: &Tokenizer,
    specialist: &str,
    lessons: &[Lesson],
    label: &str,
    observer: &dyn RunObserver,
) -> Result<Vec<TrainingSample>, RunError> {
    let promises = FormatterPromises::of(formatter, Some(tokenizer))?;
    let task = observer.begin(Task::counted(label, "rows", lessons.len() as u64));
    let mut samples = Vec::with_capacity(lessons.len());
    for (chunk, lessons) in lessons.chunks(CHUNK_ROWS).enumerate() {
        let id = |row: usize| format!("row {}", chunk * CHUNK_ROWS + row);
        let rows: Vec<FormatterLesson> =
            lessons.iter().enumerate().map(|(row, lesson)| formatter_lesson(id(row), lesson)).collect();
        let sequences = formatter.format_lessons(specialist, &rows)?;
        promises.hold(specialist, &rows, &sequences)?;
        let tokenized: Vec<TrainingSample> = lessons
            .par_iter()
            .zip(&sequences)
            .map(|(lesson, sequence)| sample_of(tokenizer, lesson, &sequence.segments))
            .collect::<Result<_, _>>()?;
        task.advance(tokenized.len() as u64);
        samples.extend(tokenized);
    }
    task.finish();
    Ok(samples)
}

/// Tries a formatter on lessons of our own, before there are rows: what it promises is held. Without a tokenizer, whose base
/// may not be there yet, its tokens are not looked at.
pub fn try_out_formatter(
    formatter: &dyn PromptFormatter,
    tokenizer: Option<&Tokenizer>,
    specialist: &str,
) -> Result<(), RunError> {
    FormatterPromises::of(formatter, tokenizer)?.try_out(specialist)
}

/// A row as a formatter takes it.
pub fn formatter_lesson(id: String, lesson: &Lesson) -> FormatterLesson {
    match lesson.clone() {
        Lesson::Solved(Example { problem, reasoning, solution, domain, difficulty }) => {
            let problem = ProblemText { id, title: String::new(), statement: problem, tags: Vec::new(), difficulty };
            FormatterLesson::Solved(FormatterExample { problem, reasoning, solution, domain })
        }
        Lesson::Conversation(ConversationLesson { messages, tools, difficulty, .. }) => {
            FormatterLesson::Conversation(Conversation { id, messages, tools, tags: Vec::new(), difficulty })
        }
        Lesson::Policy(PolicyLesson { instruction, policy, actions, outputs, difficulty, .. }) => {
            let tags = Vec::new();
            FormatterLesson::Policy(PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty })
        }
    }
}

/// A row's tokens, and which of them are targets. What is asked in an evaluation is asked with the tokens that were
/// learned: the row of a problem or of a policy's case begins with those of its prompt. A conversation is one text.
pub fn sample_of(tokenizer: &Tokenizer, lesson: &Lesson, segments: &[Segment]) -> Result<TrainingSample, ModelError> {
    let (tokens, trained) = match lesson {
        Lesson::Solved(_) | Lesson::Policy(_) => tokenizer.encode_answered(segments)?,
        Lesson::Conversation(_) => tokenizer.encode_segments(segments)?,
    };
    Ok(TrainingSample { tokens, trained })
}
