//! What a formatter promises beyond each single answer, held before anything is trained: an adapter that learned a layout
//! which nobody asks it in, or answers without an end, is found out only after hours.
//!
//! - A prompt is the untrained beginning of its lesson, piece by piece, and its messages are those before the answer.
//! - Something is asked before something is trained on, and what is trained on ends with a stop.
//! - What looks like a control token in control text is one of the base's.
//! - An answer depends on its item alone: some of each batch are asked about twice.
//!
//! Where the base's own template lays out, the template's code holds the first three of its own text.

use hilora_contract::dataset::{Conversation, Domain, Message, PolicyExample, ProblemText, Role, Segment, SegmentKind};
use hilora_contract::plugin::{FormatterExample, FormatterLesson, PluginError, PromptFormatter, Sequence, second_look};
use hilora_evaluator::stop_tokens;
use hilora_model::Tokenizer;

use super::error::RunError;

/// Lessons of a batch that are formatted twice.
const SECOND_LOOKS: usize = 4;
/// How much of a text a message shows.
const SHOWN_CHARACTERS: usize = 60;
/// A longer text between the marks of a control token is none.
const MARK_CHARACTERS_MAX: usize = 64;

const FORMAT_LESSONS: &str = "format-lessons";
const FORMAT_PROMPTS: &str = "format-prompts";

/// A formatter with what its answers are held against.
pub(crate) struct FormatterPromises<'a> {
    formatter: &'a dyn PromptFormatter,
    /// The base's tokenizer, where it is there.
    tokenizer: Option<&'a Tokenizer>,
    stops: Vec<String>,
}

/// What is wrong with a lesson or a prompt: expected, got, and what would mend it.
struct Broken {
    call: &'static str,
    expected: String,
    got: String,
    hint: &'static str,
}

impl<'a> FormatterPromises<'a> {
    /// Asks where the formatter's completions end: each stop must be a token of the base.
    pub(crate) fn of(formatter: &'a dyn PromptFormatter, tokenizer: Option<&'a Tokenizer>) -> Result<Self, RunError> {
        if let Some(tokenizer) = tokenizer {
            // What is learned without an end token never ends.
            stop_tokens(tokenizer, formatter)?;
        }
        Ok(Self { formatter, tokenizer, stops: formatter.stop_sequences()? })
    }

    /// Tries the formatter on lessons of our own, before there are any rows. A kind of lesson that it does not know is
    /// left out; one kind at least it must lay out.
    pub(crate) fn try_out(&self, specialist: &str) -> Result<(), RunError> {
        let mut refusal = None;
        let mut is_tried = false;
        // A template may refuse what these lessons have and the rows do not.
        let by_template = self.formatter.lays_out_by_template();
        for lessons in made_up_lessons() {
            let sequences = match self.formatter.format_lessons(specialist, &lessons) {
                Ok(sequences) => sequences,
                Err(error @ PluginError::Refused { .. }) => {
                    refusal.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.hold(specialist, &lessons, &sequences) {
                Err(RunError::Plugin(PluginError::Refused { .. })) if by_template => {}
                held => held?,
            }
            is_tried = true;
        }
        match refusal {
            Some(refusal) if !is_tried && !by_template => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Holds the sequences of a batch of lessons.
    pub(crate) fn hold(
        &self,
        specialist: &str,
        lessons: &[FormatterLesson],
        sequences: &[Sequence],
    ) -> Result<(), RunError> {
        if sequences.len() != lessons.len() {
            let message = format!("expected {} answers, got {}", lessons.len(), sequences.len());
            let plugin = self.formatter.identity().clone();
            return Err(PluginError::Contract { plugin, call: FORMAT_LESSONS, row: None, message }.into());
        }
        let again = |lessons: &[FormatterLesson]| self.formatter.format_lessons(specialist, lessons);
        let differs = second_look(lessons, sequences, SECOND_LOOKS, FormatterLesson::id, again)?;
        if let Some((place, got)) = differs {
            return Err(self.broken(lessons[place].id(), depends(FORMAT_LESSONS, &sequences[place], got)));
        }
        if !self.formatter.lays_out_by_template() {
            for (lesson, sequence) in lessons.iter().zip(sequences) {
                self.lesson(ends_trained(lesson), &sequence.segments)
                    .map_err(|broken| self.broken(lesson.id(), broken))?;
            }
        }
        self.prompts(specialist, lessons, sequences)
    }

    /// Holds the prompts of those of the lessons that a model is asked.
    fn prompts(&self, specialist: &str, lessons: &[FormatterLesson], sequences: &[Sequence]) -> Result<(), RunError> {
        let solved = lessons.iter().zip(sequences).filter_map(|(lesson, sequence)| match lesson {
            FormatterLesson::Solved(example) => Some((example.problem.clone(), sequence)),
            FormatterLesson::Conversation(_) | FormatterLesson::Policy(_) => None,
        });
        let (problems, lessons): (Vec<ProblemText>, Vec<&Sequence>) = solved.unzip();
        if problems.is_empty() {
            return Ok(());
        }
        let prompts = self.formatter.format_prompts(specialist, &problems)?;
        if prompts.len() != problems.len() {
            let message = format!("expected {} answers, got {}", problems.len(), prompts.len());
            let plugin = self.formatter.identity().clone();
            return Err(PluginError::Contract { plugin, call: FORMAT_PROMPTS, row: None, message }.into());
        }
        let again = |problems: &[ProblemText]| self.formatter.format_prompts(specialist, problems);
        let differs = second_look(&problems, &prompts, SECOND_LOOKS, |problem| &problem.id, again)?;
        if let Some((place, got)) = differs {
            return Err(self.broken(&problems[place].id, depends(FORMAT_PROMPTS, &prompts[place], got)));
        }
        let by_template = self.formatter.lays_out_by_template();
        for ((problem, prompt), lesson) in problems.iter().zip(&prompts).zip(lessons) {
            follows_messages(prompt, lesson)
                .and_then(|()| if by_template { Ok(()) } else { follows_segments(prompt, lesson) })
                .map_err(|broken| self.broken(&problem.id, broken))?;
        }
        Ok(())
    }

    /// The mask of a lesson and its control text.
    fn lesson(&self, is_end_trained: bool, segments: &[Segment]) -> Result<(), Broken> {
        let broken = |expected: String, got: String, hint| Err(Broken { call: FORMAT_LESSONS, expected, got, hint });
        let mut written = segments.iter().filter(|segment| !segment.text.is_empty());
        if let Some(first) = written.clone().next().filter(|first| first.trained) {
            let expected = "a beginning that is asked and not trained on".to_owned();
            let got = format!("a trained one, `{}`", beginning(&first.text));
            return broken(expected, got, "what a model is asked is not trained on: `trained` is false there");
        }
        let ends = |segment: &Segment| {
            let text = segment.text.trim_end();
            segment.kind == SegmentKind::Control && self.stops.iter().any(|stop| text.ends_with(stop.as_str()))
        };
        match written.rfind(|segment| segment.trained) {
            Some(last) if !is_end_trained || ends(last) => {}
            Some(last) => {
                let stops: Vec<String> = self.stops.iter().map(|stop| format!("`{stop}`")).collect();
                let kind = match last.kind {
                    SegmentKind::Control => "",
                    SegmentKind::Content => " as content",
                };
                return broken(
                    format!("trained text that ends with a stop, {} as control text", stops.join(" or ")),
                    format!("`{}`{kind}", ending(&last.text)),
                    "an answer that is learned without its end never ends: the last trained segment is a stop of \
                     `stop-sequences`, as control",
                );
            }
            None => {
                let expected = "a segment to train on".to_owned();
                return broken(expected, "none".to_owned(), "`trained` is true for the answer and its stop");
            }
        }
        let Some(tokenizer) = self.tokenizer else { return Ok(()) };
        let control = segments.iter().filter(|segment| segment.kind == SegmentKind::Control);
        let unknown = |segment: &Segment| {
            let mark = control_marks(&segment.text).find(|mark| tokenizer.control_token(mark).is_none());
            mark.map(str::to_owned)
        };
        match control.filter_map(unknown).next() {
            Some(mark) => broken(
                "control tokens of this base's tokenizer".to_owned(),
                format!("`{mark}`, which is none of them and would be learned letter by letter"),
                "`chat_template: model` lays out by the base's own template, and `plugins.formatter` names a formatter \
                 for this base",
            ),
            None => Ok(()),
        }
    }

    fn broken(&self, id: &str, broken: Broken) -> RunError {
        let Broken { call, expected, got, hint } = broken;
        let (plugin, row) = (self.formatter.identity().clone(), Some(format!("`{id}`")));
        PluginError::Promise { plugin, call, row, expected, got, hint }.into()
    }
}

/// Whether the end of a lesson is learned: of a conversation, what somebody says before its last message may be all that is.
fn ends_trained(lesson: &FormatterLesson) -> bool {
    match lesson {
        FormatterLesson::Solved(_) | FormatterLesson::Policy(_) => true,
        FormatterLesson::Conversation(conversation) => {
            conversation.messages.last().is_some_and(|message| message.trained)
        }
    }
}

/// An answer that is another in another batch.
fn depends(call: &'static str, expected: &Sequence, got: Option<Sequence>) -> Broken {
    let (expected, got) = (text_of(expected), got.as_ref().map(text_of).unwrap_or_default());
    let (expected, got) = match first_difference(&expected, &got) {
        Some((expected, got)) => (expected, got),
        None => ("its messages, kinds and mask".to_owned(), "others".to_owned()),
    };
    Broken {
        call,
        expected: format!("the same answer in every batch, `{expected}`"),
        got: format!("`{got}` in another batch"),
        hint: "a layout may depend on its item alone: not on its place, its batch or what came before",
    }
}

/// Whether a prompt is the untrained beginning of a lesson.
fn follows_segments(prompt: &Sequence, lesson: &Sequence) -> Result<(), Broken> {
    let is_answer = |segment: &Segment| segment.trained && !segment.text.is_empty();
    let answer = lesson.segments.iter().position(is_answer).unwrap_or(lesson.segments.len());
    let (expected, got) = (pieces(&lesson.segments[..answer]), pieces(&prompt.segments));
    if expected == got {
        return Ok(());
    }
    let text = |pieces: &[(SegmentKind, String)]| pieces.iter().map(|(_, text)| text.as_str()).collect::<String>();
    let (expected, got) = match first_difference(&text(&expected), &text(&got)) {
        Some((expected, got)) => (format!("`{expected}`"), format!("`{got}`")),
        None => ("the same segments".to_owned(), "the same text with others of it as control".to_owned()),
    };
    Err(Broken {
        call: FORMAT_PROMPTS,
        expected: format!("the untrained beginning of the problem's lesson, {expected}"),
        got,
        hint: "make both of one function: a model answers only what it learned to answer",
    })
}

/// Whether the messages of a prompt are those before the answer.
fn follows_messages(prompt: &Sequence, lesson: &Sequence) -> Result<(), Broken> {
    let said = |messages: &[Message]| -> Vec<(Role, String)> {
        messages.iter().map(|message| (message.role.clone(), message.content.clone())).collect()
    };
    let before = lesson.messages.split_last().map_or(&[][..], |(_, before)| before);
    let (expected, got) = (said(before), said(&prompt.messages));
    if expected == got {
        return Ok(());
    }
    let text = |messages: &[(Role, String)]| {
        messages.iter().map(|(role, content)| format!("{}: {content}\n", role.as_str())).collect::<String>()
    };
    let (expected, got) = first_difference(&text(&expected), &text(&got)).unwrap_or_default();
    Err(Broken {
        call: FORMAT_PROMPTS,
        expected: format!("the messages before the answer of the problem's lesson, `{expected}`"),
        got: format!("`{got}`"),
        hint: "make both of one function: a chat endpoint and a model's own template take the messages",
    })
}

/// Segments without their borders: neighbours of one kind are one piece.
fn pieces(segments: &[Segment]) -> Vec<(SegmentKind, String)> {
    let mut pieces: Vec<(SegmentKind, String)> = Vec::new();
    for segment in segments.iter().filter(|segment| !segment.text.is_empty()) {
        match pieces.last_mut() {
            Some((kind, text)) if *kind == segment.kind => text.push_str(&segment.text),
            _ => pieces.push((segment.kind, segment.text.clone())),
        }
    }
    pieces
}

fn text_of(sequence: &Sequence) -> String {
    sequence.segments.iter().map(|segment| segment.text.as_str()).collect()
}

/// What two texts are from shortly before they differ; `None` if they do not.
fn first_difference(one: &str, other: &str) -> Option<(String, String)> {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let from = |text: &str| {
        let shown: String =
            text.chars().skip(same.saturating_sub(SHOWN_CHARACTERS / 3)).take(SHOWN_CHARACTERS).collect();
        shown
    };
    (one != other).then(|| (from(one), from(other)))
}

fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

fn ending(text: &str) -> String {
    text.chars().skip(text.chars().count().saturating_sub(SHOWN_CHARACTERS)).collect()
}

/// What is written as control tokens are in most formats: `<|im_start|>`.
fn control_marks(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("<|").filter_map(|(start, _)| {
        let rest = &text[start..];
        let mark = &rest[..rest.find("|>")? + 2];
        let name = &mark[2..mark.len().max(4) - 2];
        let is_name = !name.is_empty()
            && name.chars().count() <= MARK_CHARACTERS_MAX
            && !name.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '|'));
        is_name.then_some(mark)
    })
}

/// A few lessons of each kind.
fn made_up_lessons() -> [Vec<FormatterLesson>; 3] {
    let solved = |id: &str, statement: &str, reasoning: Option<&str>, solution: &str| {
        let problem = ProblemText {
            id: id.to_owned(),
            title: String::new(),
            statement: statement.to_owned(),
            tags: Vec::new(),
            difficulty: None,
        };
        let (reasoning, solution) = (reasoning.map(str::to_owned), solution.to_owned());
        FormatterLesson::Solved(FormatterExample { problem, reasoning, solution, domain: Domain("python".to_owned()) })
    };
    let sum = "Read two integers and print their sum.";
    let echo = "Read a line and print it twice.";
    let conversation = Conversation {
        id: "a made-up conversation".to_owned(),
        messages: vec![Message::new(Role::User, "What is 2 + 2?"), Message::new(Role::Assistant, "It is 4.")],
        tools: Vec::new(),
        tags: Vec::new(),
        difficulty: None,
    };
    let policy = PolicyExample {
        id: "a made-up case".to_owned(),
        instruction: "I would like to return my order.".to_owned(),
        policy: "Orders may be returned within 30 days.".to_owned(),
        actions: Vec::new(),
        outputs: vec!["It can be returned.".to_owned()],
        tags: Vec::new(),
        difficulty: None,
    };
    [
        vec![
            solved("a made-up problem", sum, None, "a, b = map(int, input().split())\nprint(a + b)"),
            solved(
                "another made-up problem",
                echo,
                Some("Printing twice will do."),
                "line = input()\nprint(line, line)",
            ),
        ],
        vec![FormatterLesson::Conversation(conversation)],
        vec![FormatterLesson::Policy(policy)],
    ]
}

#[cfg(test)]
mod tests {
    use hilora_contract::artifact::ContentHash;
    use hilora_contract::fault::Fault;
    use hilora_contract::plugin::{PluginIdentity, PluginKind};

    use super::*;

    /// A formatter that keeps all promises, but for the one of its name.
    struct Fake(PluginIdentity, &'static str);

    impl Fake {
        fn breaking(promise: &'static str) -> Self {
            let (name, version) = ("fake".to_owned(), "0".to_owned());
            Self(
                PluginIdentity { name, version, kind: PluginKind::PromptFormatter, content: ContentHash::of(b"") },
                promise,
            )
        }

        fn asked(statement: &str) -> Vec<Segment> {
            vec![
                segment("<|im_start|>user\n", SegmentKind::Control, false),
                segment(statement, SegmentKind::Content, false),
                segment("<|im_end|>\n<|im_start|>assistant\n", SegmentKind::Control, false),
            ]
        }
    }

    fn segment(text: &str, kind: SegmentKind, trained: bool) -> Segment {
        Segment { text: text.to_owned(), kind, trained }
    }

    impl PromptFormatter for Fake {
        fn identity(&self) -> &PluginIdentity {
            &self.0
        }

        fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
            Ok(vec!["<|im_end|>".to_owned()])
        }

        fn format_lessons(&self, _: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
            let solved = lessons.iter().filter_map(|lesson| match lesson {
                FormatterLesson::Solved(example) => Some(example),
                FormatterLesson::Conversation(_) | FormatterLesson::Policy(_) => None,
            });
            let sequence = |(place, example): (usize, &FormatterExample)| {
                let mut segments = Self::asked(&example.problem.statement);
                segments.push(segment(&example.solution, SegmentKind::Content, true));
                segments.push(segment("<|im_end|>", SegmentKind::Control, true));
                segments.push(segment("\n", SegmentKind::Control, false));
                match self.1 {
                    "all trained" => segments.iter_mut().for_each(|segment| segment.trained = true),
                    "nothing trained" => segments.iter_mut().for_each(|segment| segment.trained = false),
                    "no stop" => segments[4].text.clear(),
                    "a stop in the middle" => segments[5] = segment("\nBye.", SegmentKind::Content, true),
                    "a stop as content" => segments[4].kind = SegmentKind::Content,
                    "lessons by place" => segments[1].text.push_str(&place.to_string()),
                    "lessons by batch" => segments[1].text.push_str(&lessons.len().to_string()),
                    "an answer that is asked" => {
                        let answer = segment(&example.solution, SegmentKind::Content, false);
                        segments.insert(3, answer);
                    }
                    _ => {}
                }
                let messages = vec![
                    Message::new(Role::User, example.problem.statement.as_str()),
                    Message::new(Role::Assistant, example.solution.as_str()),
                ];
                Sequence { messages, segments }
            };
            let answers: Vec<Sequence> = solved.enumerate().map(sequence).collect();
            if answers.is_empty() {
                return Err(PluginError::Refused { plugin: self.0.clone(), message: "only problems".to_owned() });
            }
            Ok(answers)
        }

        fn format_prompts(&self, _: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
            let sequence = |(place, problem): (usize, &ProblemText)| {
                let mut segments = Self::asked(&problem.statement);
                let mut messages = vec![Message::new(Role::User, problem.statement.as_str())];
                match self.1 {
                    "another prompt" => segments[0].text = "<|im_start|>system\nBe brief.<|im_end|>\n".to_owned(),
                    "a prompt of another kind" => segments[1].kind = SegmentKind::Control,
                    "a prompt with an answer" => segments.push(segment("x = 1", SegmentKind::Content, false)),
                    "other messages" => messages[0].content.push('!'),
                    "prompts by place" => messages[0].name = Some(place.to_string()),
                    // The same text with other borders is the same layout.
                    "nothing" => {
                        let end = segments[2].text.split_off(5);
                        segments.push(segment(&end, SegmentKind::Control, false));
                    }
                    _ => {}
                }
                Sequence { messages, segments }
            };
            Ok(problems.iter().enumerate().map(sequence).collect())
        }

        fn extract_solution(&self, _: &str) -> Result<Option<String>, PluginError> {
            Ok(None)
        }
    }

    /// What is said of a formatter, and the hints.
    fn tried(promise: &'static str, tokenizer: Option<&Tokenizer>) -> Result<(), (String, Vec<String>)> {
        let fake = Fake::breaking(promise);
        let tried = FormatterPromises::of(&fake, tokenizer).and_then(|promises| promises.try_out("python"));
        tried.map_err(|error| (error.to_string(), error.hints()))
    }

    #[test]
    fn each_broken_promise_is_one_error_that_names_it() {
        assert_eq!(tried("nothing", None), Ok(()));
        for (promise, call, expected, got) in [
            ("all trained", "lessons", "a beginning that is asked", "a trained one, `<|im_start|>user"),
            ("nothing trained", "lessons", "a segment to train on", "none"),
            ("no stop", "lessons", "ends with a stop, `<|im_end|>`", "print(a + b)` as content"),
            ("a stop in the middle", "lessons", "ends with a stop, `<|im_end|>`", "Bye.` as content"),
            ("a stop as content", "lessons", "`<|im_end|>` as control text", "`<|im_end|>` as content"),
            ("lessons by place", "lessons", "the same answer in every batch, `", "in another batch"),
            ("lessons by batch", "lessons", "the same answer in every batch, `", "in another batch"),
            ("prompts by place", "prompts", "the same answer in every batch, `", "in another batch"),
            ("an answer that is asked", "prompts", "the untrained beginning of the problem's lesson, `", "got `"),
            ("another prompt", "prompts", "lesson, `<|im_start|>user", "got `<|im_start|>system"),
            ("a prompt of another kind", "prompts", "the same segments", "others of it as control"),
            ("a prompt with an answer", "prompts", "lesson, `", "x = 1`"),
            ("other messages", "prompts", "the messages before the answer", "sum.!"),
        ] {
            let (said, hints) = tried(promise, None).expect_err(promise);
            let place = format!("prompt-formatter fake 0 broke a promise of its interface in `format-{call}` at `");
            assert!(said.starts_with(&place) && said.contains("made-up problem`"), "{promise}: {said}");
            assert!(said.contains(expected) && said.contains(got), "{promise}: {said}");
            assert_eq!(hints.len(), 1, "{promise}");
        }
    }

    #[test]
    fn control_text_must_be_tokens_of_the_base() -> Result<(), Box<dyn std::error::Error>> {
        let token = |id: u32, content: &str| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let tokenizer = |tokens: &[&str]| -> Result<Tokenizer, Box<dyn std::error::Error>> {
            let added: Vec<_> = (3..).zip(tokens).map(|(id, content)| token(id, content)).collect();
            let file = serde_json::json!({
                "version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": null, "decoder": null,
                "model": {"type": "WordLevel", "vocab": {"?": 0, "a": 1, "b": 2}, "unk_token": "?"},
            });
            let folder = tempfile::tempdir()?;
            std::fs::write(folder.path().join("tokenizer.json"), file.to_string())?;
            Ok(Tokenizer::load(folder.path())?)
        };
        assert_eq!(tried("nothing", Some(&tokenizer(&["<|im_start|>", "<|im_end|>"])?)), Ok(()));
        let (said, hints) = tried("nothing", Some(&tokenizer(&["<|im_end|>"])?)).expect_err("a mark is unknown");
        assert!(said.contains("in `format-lessons` at `a made-up problem`: expected control tokens"), "{said}");
        assert!(said.contains("got `<|im_start|>`, which is none of them"), "{said}");
        assert!(hints[0].contains("chat_template: model"), "{hints:?}");
        let (said, _) = tried("nothing", Some(&tokenizer(&["<|im_start|>"])?)).expect_err("the stop is unknown");
        assert!(
            said.contains("ends a completion at `<|im_end|>`, which is no token of this model's tokenizer"),
            "{said}"
        );
        Ok(())
    }

    #[test]
    fn a_mark_is_a_name_between_two_signs() {
        let marks = |text: &'static str| control_marks(text).collect::<Vec<_>>();
        assert_eq!(marks("<|im_start|>user\n<|im_end|>"), ["<|im_start|>", "<|im_end|>"]);
        for none in ["<||>", "<|>", "a <| b |> c", "<|a", "a|>", "<think>", "<|<|>"] {
            assert_eq!(marks(none), [""; 0], "{none}");
        }
        assert_eq!(marks("<|a<|b|>"), ["<|b|>"]);
    }
}
