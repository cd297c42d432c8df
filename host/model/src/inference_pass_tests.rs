//! What a pass gives, against the trainer's forward pass over each sequence as a whole: the same bits.

use std::path::Path;

use super::small_model::{SMALL_CONFIG, perturbed, small_lora};
use super::*;
use hilora_kernels::cross_entropy::{Normalization, chunk_rows};

const BLOCK: usize = KeyValueBlocks::BLOCK_TOKENS;

/// A sequence, and the parts that it is run in.
struct Case {
    tokens: Vec<u32>,
    adapter: Option<usize>,
    /// How many tokens each part has; the last of them is repeated.
    parts: Vec<usize>,
}

fn tokens(length: usize, seed: u32, vocabulary: usize) -> Vec<u32> {
    (0..length as u32).map(|i| (i * i * 5 + i * seed + seed * 31) % vocabulary as u32).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The logits of all rows by the trainer's forward pass.
fn trained(model: &Model, adapter: Option<&Adapter>, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
    let mut documents = PackedDocuments::default();
    documents.push(tokens, |_| true);
    let rows: Vec<usize> = (0..tokens.len()).collect();
    model.logits(&*model.hidden(&documents, adapter)?, &rows, adapter)
}

/// Runs all cases side by side, part by part, in blocks that lie crosswise; every logit and loss must be the trainer's.
fn hold(model: &Model, adapters: &[&Adapter], cases: &[Case]) -> Result<(), ModelError> {
    let vocabulary = model.config().vocab_size;
    let count = |case: &Case| case.tokens.len().div_ceil(BLOCK);
    let mut cache = KeyValueBlocks::new(model, 1)?;
    cache.reserve(cases.iter().map(count).sum())?;
    let mut blocks: Vec<Vec<u32>> = vec![Vec::new(); cases.len()];
    let mut next = cache.blocks() as u32;
    for index in 0..cases.iter().map(count).max().unwrap_or(0) {
        for (case, blocks) in cases.iter().zip(&mut blocks) {
            if index < count(case) {
                next -= 1;
                blocks.push(next);
            }
        }
    }
    let pass = InferencePass::new(model, adapters)?;
    let mut got: Vec<Vec<f32>> = vec![Vec::new(); cases.len()];
    let mut done = vec![0; cases.len()];
    for step in 0.. {
        let mut spans = Vec::new();
        let mut of = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            let part = case.parts[step.min(case.parts.len() - 1)].min(case.tokens.len() - done[index]);
            if part > 0 {
                of.push((index, part));
                spans.push(Span {
                    tokens: &case.tokens[done[index]..done[index] + part],
                    start: done[index],
                    blocks: &blocks[index],
                    adapter: case.adapter,
                    logits: LogitRows::All,
                });
            }
        }
        if spans.is_empty() {
            break;
        }
        let logits = pass.forward(&mut cache, &spans)?;
        let mut rows = logits.chunks_exact(vocabulary);
        for (index, part) in of {
            done[index] += part;
            got[index].extend(rows.by_ref().take(part).flatten());
        }
        assert!(rows.next().is_none());
    }
    for (index, (case, got)) in cases.iter().zip(&got).enumerate() {
        let adapter = case.adapter.map(|adapter| adapters[adapter]);
        let expected = trained(model, adapter, &case.tokens)?;
        let differ = bits(got).iter().zip(bits(&expected)).filter(|(a, b)| **a != *b).count();
        assert_eq!((got.len(), differ), (expected.len(), 0), "sequence {index} in parts of {:?}", case.parts);
        let mut documents = PackedDocuments::default();
        documents.push(&case.tokens, |_| true);
        let losses: Vec<f64> = got
            .chunks_exact(vocabulary)
            .zip(&case.tokens[1..])
            .map(|(row, token)| Normalization::of(row).loss(row[*token as usize]))
            .collect();
        // In the order of the trainer's own sum.
        let chunks = losses.chunks(chunk_rows(vocabulary, losses.len()));
        let loss: f64 = chunks.map(|losses| losses.iter().sum::<f64>()).sum();
        assert_eq!(loss.to_bits(), model.loss(&documents, adapter)?.to_bits());
    }
    Ok(())
}

/// Whole, token by token, in odd parts and after a prompt, each beside the others and with the adapters that there are.
fn cases(lengths: [usize; 4], adapters: usize, vocabulary: usize) -> Vec<Case> {
    let parts = [vec![usize::MAX], vec![1], vec![3], vec![lengths[3] / 2, 1, 16]];
    let adapter = |index: usize| (index % (adapters + 1)).checked_sub(1);
    let case = |(index, (length, parts)): (usize, (usize, Vec<usize>))| Case {
        tokens: tokens(length, 3 + index as u32, vocabulary),
        // Not in the order of the adapters.
        adapter: adapter(lengths.len() - index),
        parts,
    };
    lengths.into_iter().zip(parts).enumerate().map(case).collect()
}

fn config(json: &str) -> Result<ModelConfig, ModelError> {
    ModelConfig::parse(Path::new("config.json"), json)
}

#[test]
fn every_family_has_the_trainers_bits() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/families");
    let mut held = 0;
    for entry in std::fs::read_dir(folder)? {
        let case = entry?.path();
        if !case.is_dir() {
            continue;
        }
        let (base, own) = (case.join("model"), Adapter::load(&case.join("adapter"))?);
        for compute in [ComputeType::F32, ComputeType::Bf16] {
            let model = Model::load(&base, BasePrecision::F32)?.computing_in(compute)?;
            let limit = model.config().max_position_embeddings.min(40);
            eprintln!("{}, {compute:?}", case.display());
            hold(&model, &[&own], &cases([limit, 9, 14, limit - 1], 1, model.config().vocab_size))?;
            held += 1;
        }
    }
    assert!(held >= 74, "{held}");
    Ok(())
}

#[test]
fn adapters_of_every_kind_go_side_by_side() -> Result<(), Box<dyn std::error::Error>> {
    let tables = ModuleNames::Named(vec!["q_proj".to_owned(), "embed_tokens".to_owned(), "lm_head".to_owned()]);
    let loras = [
        LoraConfig { r: 3, ..small_lora() },
        LoraConfig { use_dora: true, ..small_lora() },
        LoraConfig { lora_bias: true, ..small_lora() },
        LoraConfig { target_modules: tables, ..small_lora() },
        LoraConfig { modules_to_save: vec![ModuleToSave::EmbedTokens], ..small_lora() },
        LoraConfig { modules_to_save: vec![ModuleToSave::LmHead], ..small_lora() },
    ];
    for compute in [ComputeType::F32, ComputeType::Bf16] {
        let model = Model::random(config(SMALL_CONFIG)?, 4, ComputeDevice::Cpu)?.computing_in(compute)?;
        let adapters = loras.iter().map(|lora| perturbed(&model, lora)).collect::<Result<Vec<_>, _>>()?;
        let mut all = Vec::new();
        // Every adapter and the base, twice, in no order.
        for index in 0..14 {
            all.push(Case {
                tokens: tokens(5 + index * 3, 7 + index as u32, 96),
                adapter: (index * 5 % 7).checked_sub(1),
                parts: vec![1 + index % 4, 1 + index / 3],
            });
        }
        hold(&model, &adapters.iter().collect::<Vec<_>>(), &all)?;
    }
    Ok(())
}

/// Documents longer than a block of the product's depth, and windows that leave whole blocks behind.
#[test]
fn long_sequences_and_windows_have_the_trainers_bits() -> Result<(), Box<dyn std::error::Error>> {
    let long = SMALL_CONFIG.replace("\"max_position_embeddings\":128", "\"max_position_embeddings\":1200");
    let windowed = long.replace(
        "\"rms_norm_eps\"",
        "\"use_sliding_window\":true,\"sliding_window\":70,\"max_window_layers\":1,\"rms_norm_eps\"",
    );
    for json in [long, windowed] {
        for compute in [ComputeType::F32, ComputeType::Bf16] {
            let model = Model::random(config(&json)?, 6, ComputeDevice::Cpu)?.computing_in(compute)?;
            let parts = [vec![500, 600], vec![1100, 1], vec![640, 1, 1, 300]];
            let cases = parts.into_iter().enumerate();
            let cases: Vec<Case> = cases
                .map(|(index, parts)| Case { tokens: tokens(1102, 3 + index as u32, 96), adapter: None, parts })
                .collect();
            hold(&model, &[], &cases)?;
        }
    }
    Ok(())
}

#[test]
fn quantized_bases_have_the_trainers_bits() -> Result<(), Box<dyn std::error::Error>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen3/model");
    for (precision, compute) in [
        (BasePrecision::Nf4, ComputeType::F32),
        (BasePrecision::Nf4, ComputeType::Bf16),
        (BasePrecision::Bf16, ComputeType::Bf16),
    ] {
        let model = Model::load(&base, precision)?.computing_in(compute)?;
        let adapter = perturbed(&model, &small_lora())?;
        hold(&model, &[&adapter], &cases([45, 20, 14, 39], 1, model.config().vocab_size))?;
    }
    Ok(())
}

/// A copied block goes on by itself, and what an earlier sequence left behind is never read, not even as 0 · NaN.
#[test]
fn blocks_are_shared_copied_and_used_again() -> Result<(), ModelError> {
    let model = Model::random(config(SMALL_CONFIG)?, 5, ComputeDevice::Cpu)?.computing_in(ComputeType::Bf16)?;
    let vocabulary = model.config().vocab_size;
    let (first, mut second) = (tokens(44, 3, vocabulary), tokens(44, 3, vocabulary));
    second[35..].copy_from_slice(&tokens(9, 11, vocabulary));
    let pass = InferencePass::new(&model, &[])?;
    let mut cache = KeyValueBlocks::new(&model, 4)?;
    let span = |tokens, start, blocks| Span { tokens, start, blocks, adapter: None, logits: LogitRows::Last };
    let last =
        |tokens: &[u32]| Ok::<_, ModelError>(trained(&model, None, tokens)?.split_off((tokens.len() - 1) * vocabulary));
    let a: &[u32] = &[3, 1];
    let b: &[u32] = &[3, 0];
    // More tokens than the first goes on from: they are taken back.
    pass.forward(&mut cache, &[span(&first, 0, a)])?;
    cache.copy_block(1, 0)?;
    let both = pass.forward(&mut cache, &[span(&first[35..], 35, a), span(&second[35..], 35, b)])?;
    assert_eq!(bits(&both), bits(&[last(&first)?, last(&second)?].concat()));
    // The blocks of one that has ended, by another with a beginning that two share in one pass.
    let both = pass.forward(&mut cache, &[span(&first[..33], 0, &[2, 1]), span(&first[32..34], 32, &[2, 0])])?;
    assert_eq!(bits(&both), bits(&[last(&first[..33])?, last(&first[..34])?].concat()));
    Ok(())
}

#[test]
fn what_a_pass_cannot_do_is_refused() -> Result<(), ModelError> {
    let model = small_model::small_model(3)?;
    let pass = InferencePass::new(&model, &[])?;
    let mut cache = KeyValueBlocks::new(&model, 2)?;
    let base = Span { tokens: &[1, 2], start: 0, blocks: &[1], adapter: None, logits: LogitRows::Last };
    let mut message = |spans: &[Span<'_>]| pass.forward(&mut cache, spans).err().map(|error| error.to_string());
    for (spans, expected) in [
        (vec![Span { tokens: &[], ..base }], "a span: expected at least one token"),
        (vec![Span { tokens: &[96], ..base }], "token id 96: expected an id below"),
        (vec![Span { start: 127, blocks: &[0; 5], ..base }], "a sequence of 129 tokens: the model's"),
        (vec![Span { start: 31, ..base }], "a sequence of 33 tokens: expected 2 blocks, got 1"),
        (vec![Span { blocks: &[2], ..base }], "block 2: expected one of the 2 blocks"),
        (vec![Span { adapter: Some(0), ..base }], "adapter 0: the pass has 0"),
        (vec![base, base], "block 1: two spans of a pass write it"),
    ] {
        let message = message(&spans).unwrap_or_default();
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(message(&[]), None);
    let other = model.computing_in(ComputeType::Bf16)?;
    let refused = InferencePass::new(&other, &[])?.forward(&mut cache, &[base]);
    assert!(
        refused.is_err_and(|error| error.to_string().starts_with("a cache: expected 2 layers of width 32 in Bf16"))
    );
    Ok(())
}
