//! The engine over small models: with any neighbours, adapters, limits, cancellations and failures a sample has the tokens
//! that it gets alone, and their log-probabilities are the trainer's, bit for bit.

use std::error::Error;
use std::path::Path;

use candle_core::Tensor;

use super::engine::Engine;
use super::error::EngineError;
use super::event::{Completion, CompletionEnd};
use super::forward::ModelForward;
use super::request::{Request, RequestId};
use super::sampling_options::SamplingOptions;
use super::scheduler::Limits;
use super::schedules::{Completions, WIDE, finish, whole};
use super::small_model::{SMALL_CONFIG, perturbed, perturbed_adapter, small_lora, small_model};
use super::usage::Usage;
use hilora_kernels::cross_entropy::Normalization;
use hilora_model::{
    Adapter, BasePrecision, ComputeDevice, ComputeType, LoraConfig, Model, ModelConfig, ModelError, ModuleNames,
    ModuleToSave, PackedDocuments,
};

/// A token that many completions end at.
const STOP_TOKEN: u32 = 11;

/// Requests of which many begin alike, each with three samples, over every adapter and the base.
fn requests(adapters: usize) -> Vec<Request> {
    let request = |number: u32| {
        let common = if number.is_multiple_of(2) { 40 } else { 3 };
        let prompt = (0..common).chain((0..1 + number * 4).map(|i| (i * 7 + number) % 90)).collect();
        let options = SamplingOptions {
            max_new_tokens: 12,
            temperature: 0.9,
            top_p: 0.95,
            seed: 5,
            top_log_probabilities: Some(1),
            stop_tokens: vec![STOP_TOKEN],
            ..SamplingOptions::default()
        };
        // Not in the order of the adapters.
        let adapter = (number as usize * 2 % (adapters + 1)).checked_sub(1);
        Request { prompt, adapter, streams: (0..3).map(|sample| u64::from(number * 2 + sample)).collect(), options }
    };
    (0..9).map(request).collect()
}

/// An engine that has admitted requests.
fn admitted<'a>(
    model: &'a Model,
    adapters: &[&'a Adapter],
    requests: &[Request],
    limits: Limits,
) -> Result<(Engine<'static, ModelForward<'a>>, Vec<RequestId>), EngineError> {
    let mut engine = Engine::new(ModelForward::new(model, adapters)?, None, limits)?;
    let ids = requests.iter().map(|request| engine.admit(request.clone())).collect::<Result<_, _>>()?;
    Ok((engine, ids))
}

/// A request's completions among others.
fn of_request(completions: &mut Completions, id: RequestId, request: &Request) -> Vec<Completion> {
    let of = |sample| completions.remove(&(id, sample)).expect("it has ended").expect("nothing makes it fail");
    (0..request.streams.len()).map(of).collect()
}

/// The completions of all requests in one engine.
fn run(
    model: &Model,
    adapters: &[&Adapter],
    requests: &[Request],
    limits: Limits,
) -> Result<(Vec<Vec<Completion>>, Usage), EngineError> {
    let (mut engine, ids) = admitted(model, adapters, requests, limits)?;
    let mut completions = finish(&mut engine)?;
    assert_eq!(engine.free_blocks(), limits.blocks);
    let completions =
        ids.iter().zip(requests).map(|(id, request)| of_request(&mut completions, *id, request)).collect();
    Ok((completions, engine.usage()))
}

/// The log-probability of each token that a completion drew, by the trainer's forward pass over the whole sequence.
fn trained(
    model: &Model,
    adapter: Option<&Adapter>,
    request: &Request,
    completion: &Completion,
) -> Result<Vec<u64>, ModelError> {
    let mut tokens = [&request.prompt[..], &completion.tokens].concat();
    if let CompletionEnd::StopToken(token) = completion.end {
        tokens.push(token);
    }
    let mut documents = PackedDocuments::default();
    documents.push(&tokens, |_| true);
    let rows: Vec<usize> = (request.prompt.len() - 1..tokens.len() - 1).collect();
    let logits = model.logits(&*model.hidden(&documents, adapter)?, &rows, adapter)?;
    let rows = logits.chunks_exact(model.config().vocab_size).zip(&tokens[request.prompt.len()..]);
    Ok(rows.map(|(row, token)| (-Normalization::of(row).loss(row[*token as usize])).to_bits()).collect())
}

/// Holds all requests in wide, tight and turned schedules against each alone, and against the trainer.
fn hold(model: &Model, adapters: &[&Adapter]) -> Result<(), Box<dyn Error>> {
    let requests = requests(adapters.len());
    let mut alone = Vec::new();
    for request in &requests {
        alone.extend(run(model, adapters, std::slice::from_ref(request), WIDE)?.0);
    }
    let (wide, usage) = run(model, adapters, &requests, WIDE)?;
    assert_eq!(wide, alone);
    assert!(usage.copied_blocks > 0);
    let (tight, usage) =
        run(model, adapters, &requests, Limits { blocks: 5, rows_max: 4, step_tokens_max: 13, ..WIDE })?;
    assert_eq!(tight, alone);
    assert!(usage.preemptions > 0);
    let reversed: Vec<Request> = requests.iter().rev().cloned().collect();
    let (mut turned, _) = run(model, adapters, &reversed, Limits { rows_max: 5, step_tokens_max: 100, ..WIDE })?;
    turned.reverse();
    assert_eq!(turned, alone);
    for (request, completions) in requests.iter().zip(&alone) {
        for completion in completions {
            let adapter = request.adapter.map(|adapter| adapters[adapter]);
            let reported: Vec<u64> =
                completion.log_probabilities.iter().map(|reported| reported.drawn.to_bits()).collect();
            assert_eq!(reported, trained(model, adapter, request, completion)?, "{request:?}");
        }
    }
    Ok(())
}

#[test]
fn adapters_of_every_kind_are_served_at_once() -> Result<(), Box<dyn Error>> {
    let tables = ModuleNames::Named(vec!["q_proj".to_owned(), "embed_tokens".to_owned(), "lm_head".to_owned()]);
    for compute in [ComputeType::F32, ComputeType::Bf16] {
        let model = small_model(3)?.computing_in(compute)?;
        let adapters = [
            LoraConfig { r: 3, ..small_lora() },
            LoraConfig { use_dora: true, ..small_lora() },
            LoraConfig { target_modules: tables.clone(), ..small_lora() },
            LoraConfig { modules_to_save: vec![ModuleToSave::LmHead], lora_bias: true, ..small_lora() },
        ]
        .iter()
        .map(|lora| perturbed(&model, lora))
        .collect::<Result<Vec<_>, _>>()?;
        hold(&model, &adapters.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

#[test]
fn bases_in_bf16_and_in_4_bits_are_served() -> Result<(), Box<dyn Error>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen3/model");
    for (precision, compute) in [
        (BasePrecision::Bf16, ComputeType::Bf16),
        (BasePrecision::Nf4, ComputeType::F32),
        (BasePrecision::Nf4, ComputeType::Bf16),
    ] {
        let model = Model::load(&base, precision)?.computing_in(compute)?;
        let adapters = [small_lora(), LoraConfig { r: 2, ..small_lora() }];
        let adapters = adapters.iter().map(|lora| perturbed(&model, lora)).collect::<Result<Vec<_>, _>>()?;
        hold(&model, &adapters.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

#[test]
fn the_samples_of_a_prompt_cost_one_prefill_and_common_beginnings_none() -> Result<(), Box<dyn Error>> {
    let model = small_model(3)?;
    let request = |own: u32| {
        let options = SamplingOptions { max_new_tokens: 4, ..SamplingOptions::default() };
        let prompt = (0..64).chain([own, own]).collect();
        Request { prompt, adapter: None, streams: (0..8).collect(), options }
    };
    let (_, usage) = run(&model, &[], &[request(1)], WIDE)?;
    assert_eq!(usage.computed_tokens, 66 + 8 * 3);
    // Two blocks of 32 tokens are found by each but the first.
    let all: Vec<Request> = (0..5).map(request).collect();
    let (_, usage) = run(&model, &[], &all, WIDE)?;
    assert_eq!((usage.computed_tokens, usage.found_tokens), (64 + 5 * (2 + 8 * 3), 4 * 64));
    Ok(())
}

#[test]
fn a_request_that_is_cancelled_at_any_step_leaves_the_others_and_their_blocks() -> Result<(), Box<dyn Error>> {
    let model = small_model(3)?;
    let adapter = perturbed_adapter(&model)?;
    let requests = requests(1);
    // The longest prompt, read in six pieces and more beside the others; and what begins as it does.
    let (cancelled, again) = (6, requests[6].clone());
    let whole = run(&model, &[&adapter], &requests, WIDE)?.0;
    let limits = Limits { blocks: 12, rows_max: 8, step_tokens_max: 12, ..WIDE };
    let mut ended = 0;
    for steps in [1, 7, 16, 18, 20, 22, 24, 30] {
        let (mut engine, ids) = admitted(&model, &[&adapter], &requests, limits)?;
        let mut completions = Completions::new();
        let mut told = Default::default();
        for _ in 0..steps {
            super::schedules::step(&mut engine, &mut told, &mut completions)?;
        }
        ended += usize::from(!engine.cancel(ids[cancelled]));
        told.retain(|(request, _), _| *request != ids[cancelled]);
        let once_more = engine.admit(again.clone())?;
        while !engine.is_idle() {
            super::schedules::step(&mut engine, &mut told, &mut completions)?;
        }
        assert_eq!(engine.free_blocks(), limits.blocks);
        for (index, request) in requests.iter().enumerate().filter(|(index, _)| *index != cancelled) {
            assert_eq!(of_request(&mut completions, ids[index], request), whole[index], "{steps} steps, {index}");
        }
        assert_eq!(of_request(&mut completions, once_more, &again), whole[cancelled], "{steps} steps");
    }
    assert_eq!(ended, 0, "it was always under way");
    Ok(())
}

/// A row of the table of tokens that is no number: whoever has the token fails, and nobody beside it has another bit.
#[test]
fn a_sequence_whose_numbers_are_none_fails_alone() -> Result<(), Box<dyn Error>> {
    const POISON: u32 = 93;
    let json = SMALL_CONFIG.replace("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false");
    let config = ModelConfig::parse(Path::new("config.json"), &json)?;
    let model = Model::random(config, 3, ComputeDevice::Cpu)?;
    let lora = LoraConfig { modules_to_save: vec![ModuleToSave::EmbedTokens], ..small_lora() };
    let (fine, poisoned) = (perturbed(&model, &lora)?, perturbed(&model, &lora)?);
    let (_, table) = poisoned.tensors().find(|(name, _)| name.contains("embed_tokens")).ok_or("it has a table")?;
    let row = Tensor::full(f32::NAN, (1, table.dims2()?.1), table.device())?;
    table.slice_set(&row, 0, POISON as usize)?;
    let mut requests = requests(1);
    for request in &mut requests {
        // A sample that draws the token fails from there on.
        (request.adapter, request.options.stop_tokens) = (Some(0), vec![POISON]);
    }
    let expected = run(&model, &[&fine], &requests, WIDE)?.0;
    for limits in [WIDE, Limits { blocks: 8, rows_max: 4, step_tokens_max: 13, ..WIDE }] {
        // It is the first to compute a block of tokens that others begin with, and attention multiplies what is no number
        // by zero for those before it.
        let mut poison = requests[4].clone();
        poison.prompt[35] = POISON;
        let with_poison = [&[poison], &requests[..]].concat();
        let (mut engine, mut ids) = admitted(&model, &[&poisoned], &with_poison, limits)?;
        let mut completions = finish(&mut engine)?;
        let failing = ids.remove(0);
        for sample in 0..3 {
            let error = completions.remove(&(failing, sample)).ok_or("it has ended")?.err().ok_or("it has failed")?;
            assert_eq!(error, "the logit of token 0 at position 0 of the completion is NaN");
        }
        assert_eq!(whole(completions), expected.concat());
        assert_eq!(engine.free_blocks(), limits.blocks);
    }
    Ok(())
}
