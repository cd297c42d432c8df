//! Random schedules: whatever the limits, the order, the neighbours, the cancellations and the samples that fail, a sample's
//! tokens are those that it gets alone, every step leaves the books in order, and the engine comes to an end.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::error::EngineError;
use super::event::{Completion, CompletionEnd, Event};
use super::fake_model::{FakeModel, FakeText, LENGTH_MAX, VOCABULARY};
use super::forward::Forward;
use super::request::{Request, RequestId};
use super::sampling_options::SamplingOptions;
use super::scheduler::Limits;
use hilora_kernels::philox::{Purpose, Sequence};

/// Limits that no test here meets.
pub(crate) const WIDE: Limits = Limits { blocks: 128, rows_max: 64, step_tokens_max: 4_096, waiting_max: 4_096 };

/// What became of samples: a completion, or why there is none.
pub(crate) type Completions = BTreeMap<(RequestId, usize), Result<Completion, String>>;

fn engine(limits: Limits) -> Result<Engine<'static, FakeModel>, EngineError> {
    Engine::new(FakeModel::default(), Some(&FakeText), limits)
}

/// One over a model that sometimes answers with what is no number.
fn poisoned_engine(limits: Limits) -> Result<Engine<'static, FakeModel>, EngineError> {
    let mut model = FakeModel::default();
    model.poisoned = Some(150);
    Engine::new(model, Some(&FakeText), limits)
}

/// Steps once; the tokens that were told are those of the samples that end.
pub(crate) fn step<F: Forward>(
    engine: &mut Engine<'_, F>,
    told: &mut BTreeMap<(RequestId, usize), Vec<u32>>,
    completions: &mut Completions,
) -> Result<(), EngineError> {
    for event in engine.step()? {
        match event {
            Event::Token { request, sample, token, .. } => told.entry((request, sample)).or_default().push(token),
            Event::End { request, sample, completion } => {
                // Its first tokens may have been told to a test that stepped by itself.
                let told = told.remove(&(request, sample)).unwrap_or_default();
                assert!(completion.tokens.ends_with(&told), "{told:?} {completion:?}");
                assert!(completions.insert((request, sample), Ok(completion)).is_none(), "a sample ended twice");
            }
            Event::Failed { request, sample, error } => {
                told.remove(&(request, sample));
                let failed = Err(error.to_string());
                assert!(completions.insert((request, sample), failed).is_none(), "a sample ended twice");
            }
        }
    }
    assert_eq!(engine.defect(), None);
    Ok(())
}

/// Everything that is left.
pub(crate) fn finish<F: Forward>(engine: &mut Engine<'_, F>) -> Result<Completions, EngineError> {
    let (mut told, mut completions) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..20_000 {
        if engine.is_idle() {
            assert!(told.is_empty(), "a sample did not end");
            return Ok(completions);
        }
        step(engine, &mut told, &mut completions)?;
    }
    panic!("the engine comes to no end");
}

/// The completions, in the order of requests and samples.
pub(crate) fn whole(completions: Completions) -> Vec<Completion> {
    completions.into_values().map(|completion| completion.expect("nothing makes it fail")).collect()
}

/// What each sample of a request gets alone, in an engine of its own.
fn alone(request: &Request) -> Result<Vec<Result<Completion, String>>, EngineError> {
    let one = |stream: &u64| {
        let mut engine = poisoned_engine(WIDE)?;
        engine.admit(Request { streams: vec![*stream], ..request.clone() })?;
        Ok(finish(&mut engine)?.into_values().next().expect("one sample was asked for"))
    };
    request.streams.iter().map(one).collect()
}

/// Requests of which many begin alike.
fn random_request(numbers: &mut Sequence) -> Request {
    let family = numbers.below(3) as u32;
    let common = numbers.below(30);
    let own = 1 + numbers.below(12);
    let vocabulary = VOCABULARY as u32;
    let mut prompt: Vec<u32> = (0..common as u32).map(|i| (i * i + family * 5) % vocabulary).collect();
    prompt.extend((0..own).map(|_| numbers.below(VOCABULARY) as u32));
    let options = SamplingOptions {
        max_new_tokens: 1 + numbers.below(20),
        temperature: [0.0, 0.7, 1.0][numbers.below(3)],
        top_p: [1.0, 0.9][numbers.below(2)],
        top_k: [0, 7][numbers.below(2)],
        min_p: [0.0, 0.05][numbers.below(2)],
        repetition_penalty: [1.0, 1.3][numbers.below(2)],
        seed: numbers.below(2) as u64,
        top_log_probabilities: [None, Some(0), Some(3)][numbers.below(3)],
        stop_tokens: vec![3],
        stop_strings: if numbers.below(2) == 0 { Vec::new() } else { vec!["FA".to_owned(), "K".to_owned()] },
    };
    let adapter = [None, Some(0), Some(2)][numbers.below(3)];
    let streams = (0..1 + numbers.below(9)).map(|_| numbers.below(6) as u64).collect();
    Request { prompt, adapter, streams, options }
}

#[test]
fn no_schedule_changes_a_token_or_loses_a_block() -> Result<(), EngineError> {
    let (mut preemptions, mut found, mut copied, mut ends) = (0, 0, 0, [0; 5]);
    for schedule in 0..60 {
        let mut numbers = Sequence::new(schedule, Purpose::Shuffle, 1);
        let limits = Limits {
            // A request has at most 41 + 20 tokens, so at least 16 blocks.
            blocks: 16 + numbers.below(24),
            rows_max: 1 + numbers.below(8),
            step_tokens_max: 1 + numbers.below(40),
            waiting_max: 1 + numbers.below(6),
        };
        let mut engine = poisoned_engine(limits)?;
        let largest = engine.forward().largest.clone();
        let (mut told, mut completions) = (BTreeMap::new(), BTreeMap::new());
        let mut admitted: Vec<(RequestId, Request)> = Vec::new();
        let mut cancelled = Vec::new();
        let mut to_come = 14;
        for _ in 0..20_000 {
            while to_come > 0 && numbers.below(3) > 0 {
                let request = random_request(&mut numbers);
                match engine.admit(request.clone()) {
                    Ok(id) => admitted.push((id, request)),
                    Err(EngineError::Full { .. }) => break,
                    Err(error) => return Err(error),
                }
                to_come -= 1;
            }
            if numbers.below(25) == 0 && !admitted.is_empty() {
                let (id, _) = admitted[numbers.below(admitted.len())];
                engine.cancel(id);
                assert!(!engine.cancel(id), "nothing of a cancelled request is left");
                told.retain(|(request, _), _: &mut Vec<u32>| *request != id);
                cancelled.push(id);
                assert_eq!(engine.defect(), None);
            }
            step(&mut engine, &mut told, &mut completions)?;
            if to_come == 0 && engine.is_idle() {
                break;
            }
        }
        assert!(engine.is_idle() && told.is_empty(), "schedule {schedule} comes to no end");
        let (tokens, spans) = largest.get();
        assert!(
            tokens <= limits.step_tokens_max && spans <= limits.rows_max,
            "{tokens} tokens, {spans} spans: {limits:?}"
        );
        assert_eq!(engine.free_blocks(), limits.blocks);
        for (id, request) in &admitted {
            for (sample, expected) in alone(request)?.into_iter().enumerate() {
                match completions.remove(&(*id, sample)) {
                    Some(got) => {
                        ends[match got.as_ref().map(|completion| &completion.end) {
                            Ok(CompletionEnd::StopToken(_)) => 0,
                            Ok(CompletionEnd::StopString { .. }) => 1,
                            Ok(CompletionEnd::Length) => 2,
                            Err(error) if error.ends_with("is NaN") => 3,
                            Err(_) => 4,
                        }] += 1;
                        assert_eq!(got, expected, "schedule {schedule}, {id}, sample {sample}");
                    }
                    None => assert!(cancelled.contains(id), "schedule {schedule}, {id}, sample {sample} is missing"),
                }
            }
        }
        let usage = engine.usage();
        preemptions += usage.preemptions;
        found += usage.found_tokens;
        copied += usage.copied_blocks;
    }
    // All of it has come up.
    assert!(preemptions > 50 && found > 500 && copied > 50, "{preemptions} {found} {copied}");
    assert!(ends.iter().all(|count| *count > 50), "{ends:?}");
    Ok(())
}

fn request(prompt: Vec<u32>, streams: std::ops::Range<u64>) -> Request {
    let options = SamplingOptions { max_new_tokens: 6, ..SamplingOptions::default() };
    Request { prompt, adapter: None, streams: streams.collect(), options }
}

fn counting(tokens: u32) -> Vec<u32> {
    (0..tokens).map(|i| i % VOCABULARY as u32).collect()
}

#[test]
fn the_samples_of_a_prompt_cost_one_prefill_and_share_its_whole_blocks() -> Result<(), EngineError> {
    let mut engine = engine(WIDE)?;
    engine.admit(request(counting(42), 0..8))?;
    engine.step()?;
    assert_eq!(engine.usage().computed_tokens, 42);
    // 42 tokens are 11 blocks, whoever reads them.
    assert_eq!(engine.free_blocks(), WIDE.blocks - 11);
    engine.step()?;
    // The last is not whole: each but one goes on in a copy of it.
    assert_eq!((engine.free_blocks(), engine.usage().copied_blocks), (WIDE.blocks - 11 - 7, 7));
    let completions = finish(&mut engine)?;
    assert_eq!((completions.len(), engine.usage().computed_tokens), (8, 42 + 8 * 5));
    Ok(())
}

#[test]
fn a_common_beginning_is_computed_once_also_by_prompts_that_come_together() -> Result<(), EngineError> {
    let mut engine = engine(WIDE)?;
    for last in 0..10 {
        engine.admit(request([counting(40), vec![last, last]].concat(), 0..1))?;
    }
    finish(&mut engine)?;
    let usage = engine.usage();
    assert_eq!((usage.computed_tokens, usage.found_tokens), (40 + 10 * (2 + 5), 9 * 40));
    // Another adapter's keys and values are others.
    engine.admit(Request { adapter: Some(1), ..request(counting(40), 0..1) })?;
    finish(&mut engine)?;
    assert_eq!(engine.usage().found_tokens, usage.found_tokens);
    Ok(())
}

#[test]
fn a_conversation_goes_on_from_what_was_drawn() -> Result<(), EngineError> {
    let mut engine = engine(WIDE)?;
    let first = request(counting(10), 0..1);
    engine.admit(first.clone())?;
    let answer = whole(finish(&mut engine)?).remove(0).tokens;
    // 15 of the 16 tokens were computed: three whole blocks.
    engine.admit(request([first.prompt, answer, vec![1, 2]].concat(), 0..1))?;
    finish(&mut engine)?;
    assert_eq!(engine.usage().found_tokens, 12);
    Ok(())
}

#[test]
fn a_long_prompt_does_not_stall_those_that_decode() -> Result<(), EngineError> {
    let mut engine = engine(Limits { step_tokens_max: 8, ..WIDE })?;
    engine.admit(request(counting(3), 0..2))?;
    engine.step()?;
    engine.admit(request(counting(60), 0..1))?;
    for _ in 0..5 {
        let tokens = engine.step()?.iter().filter(|event| matches!(event, Event::Token { .. })).count();
        assert_eq!(tokens, 2);
    }
    assert_eq!(engine.usage().computed_tokens, 3 + 5 * 8);
    finish(&mut engine)?;
    Ok(())
}

#[test]
fn a_request_that_can_never_be_served_is_refused_and_one_too_many_waits_outside() -> Result<(), EngineError> {
    let mut engine = engine(Limits { blocks: 4, waiting_max: 2, ..WIDE })?;
    let mut refused = |request: Request| engine.admit(request).map_err(|error| error.to_string());
    let fine = || request(counting(3), 0..1);
    for (request, message) in [
        (request(vec![], 0..1), "a prompt: expected at least one token, got none"),
        (request(vec![1, 29], 0..1), "token id 29: expected an id below 29"),
        (request(vec![1], 0..0), "a request: expected at least one sample, got none"),
        (Request { adapter: Some(3), ..fine() }, "adapter 3: expected one of 3, counted from 0"),
        (request(counting(97), 0..1), "a prompt of 97 tokens: the model takes 96"),
        (request(counting(12), 0..1), "a request of up to 17 tokens: needs 5 blocks, and the cache has 4"),
    ] {
        assert_eq!(refused(request), Err(message.to_owned()));
    }
    assert!(refused(request(counting(11), 0..9)).is_ok(), "16 tokens are 4 blocks, and 9 samples may take turns");
    assert!(refused(fine()).is_ok());
    assert_eq!(refused(fine()), Err("2 sequences are waiting, which is as many as may".to_owned()));
    assert!(!engine.has_room());
    assert_eq!(finish(&mut engine)?.len(), 10);
    assert!(engine.has_room() && engine.step()?.is_empty());
    Ok(())
}

#[test]
fn a_sequence_ends_at_the_models_longest() -> Result<(), EngineError> {
    let mut engine = engine(WIDE)?;
    let length_max = LENGTH_MAX as u32;
    for prompt in [length_max - 2, length_max - 1, length_max] {
        engine.admit(request(counting(prompt), 0..1))?;
    }
    let completions = whole(finish(&mut engine)?);
    let lengths: Vec<usize> = completions.iter().map(|completion| completion.tokens.len()).collect();
    assert_eq!(lengths, [2, 1, 1]);
    assert!(completions.iter().all(|completion| completion.end == CompletionEnd::Length));
    Ok(())
}

#[test]
fn after_a_pass_that_failed_the_requests_go_on_with_the_same_tokens() -> Result<(), EngineError> {
    let requests = [request(counting(9), 0..3), request(counting(14), 1..2)];
    let run = |failing| {
        let mut model = FakeModel::default();
        model.failing = failing;
        let mut engine = Engine::new(model, None, Limits { step_tokens_max: 7, ..WIDE })?;
        requests.iter().try_for_each(|request| engine.admit(request.clone()).map(drop))?;
        let (mut told, mut completions) = (BTreeMap::new(), BTreeMap::new());
        let mut failures = 0;
        while !engine.is_idle() {
            if step(&mut engine, &mut told, &mut completions).is_err() {
                failures += 1;
                assert_eq!(engine.defect(), None);
            }
        }
        assert_eq!((failures, engine.free_blocks()), (usize::from(failing.is_some()), WIDE.blocks));
        Ok::<_, EngineError>(completions)
    };
    let whole = run(None)?;
    for failing in 1..=7 {
        assert_eq!(run(Some(failing))?, whole, "pass {failing}");
    }
    Ok(())
}

#[test]
fn samples_branch_off_as_there_are_rows_however_many_are_asked_for() -> Result<(), EngineError> {
    const SAMPLES: u64 = 2_000;
    let mut engine = engine(Limits { rows_max: 3, ..WIDE })?;
    let all = request(counting(42), 0..SAMPLES);
    engine.admit(all.clone())?;
    let (mut told, mut completions, mut waves) = (BTreeMap::new(), BTreeMap::new(), 0);
    while !engine.is_idle() {
        // Three that decode, and the one that stands for those to come.
        assert!(engine.sequences() <= 4, "{}", engine.sequences());
        let before = completions.len();
        step(&mut engine, &mut told, &mut completions)?;
        waves += u64::from(completions.len() > before);
    }
    // Each wave after the first computes the last token of the prompt once more.
    assert_eq!((engine.usage().computed_tokens, waves), (42 + SAMPLES * 5 + waves - 1, SAMPLES.div_ceil(3)));
    assert_eq!(engine.free_blocks(), WIDE.blocks);
    assert_eq!(whole(completions).len() as u64, SAMPLES);
    Ok(())
}

#[test]
fn a_sample_that_fails_ends_alone() -> Result<(), EngineError> {
    let requests = [request(counting(9), 0..40), request(counting(14), 0..40)];
    let run = |mut engine: Engine<'static, FakeModel>| {
        requests.iter().try_for_each(|request| engine.admit(request.clone()).map(drop))?;
        let completions = finish(&mut engine)?;
        assert_eq!(engine.free_blocks(), WIDE.blocks);
        Ok::<_, EngineError>(completions)
    };
    let fine = run(engine(WIDE)?)?;
    let poisoned = run(poisoned_engine(WIDE)?)?;
    assert_eq!(poisoned.len(), 80);
    let failed = |completion: &&Result<Completion, String>| completion.is_err();
    let failures = poisoned.values().filter(failed).count();
    assert!((1..40).contains(&failures) && !fine.values().any(|completion| completion.is_err()), "{failures}");
    for (sample, completion) in poisoned {
        match completion {
            Ok(completion) => assert_eq!(Ok(completion), fine[&sample]),
            Err(error) => assert!(error.starts_with("the logit of token 0 at position ") && error.ends_with("is NaN")),
        }
    }
    Ok(())
}

#[test]
fn what_another_is_about_to_compute_is_waited_for_to_its_last_token() -> Result<(), EngineError> {
    let mut engine = engine(Limits { step_tokens_max: 7, ..WIDE })?;
    engine.admit(request(counting(8), 0..1))?;
    engine.step()?;
    // One token of the first prompt is left, and it makes a block whole that the second begins with.
    engine.admit(request([counting(8), vec![20, 21]].concat(), 0..1))?;
    finish(&mut engine)?;
    assert_eq!((engine.usage().computed_tokens, engine.usage().found_tokens), (8 + 5 + 2 + 5, 8));
    Ok(())
}

#[test]
fn where_there_is_no_memory_to_spare_what_is_needed_is_asked_for() -> Result<(), EngineError> {
    let run = |blocks_max| {
        let mut model = FakeModel::default();
        model.blocks_max = blocks_max;
        let mut engine = Engine::new(model, None, WIDE)?;
        engine.admit(request(counting(9), 0..2))?;
        engine.step()?;
        engine.admit(request(counting(14), 0..1))?;
        Ok::<_, EngineError>(whole(finish(&mut engine)?))
    };
    // Nine blocks are needed in the end, and six before: twice six are not there.
    assert_eq!(run(Some(11))?, run(None)?);
    assert!(run(Some(5)).is_err_and(|error| error.to_string().contains("no memory")));
    Ok(())
}
