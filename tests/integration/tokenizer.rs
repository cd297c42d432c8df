//! The tokenizer on real data: Qwen2's own vectors, and what content may not become.

use std::fs;
use std::path::PathBuf;

use hilora_contract::dataset::{Segment, SegmentKind};
use hilora_model::Tokenizer;
use libtest_mimic::{Failed, Trial};

use crate::real_data_trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        real_data_trial("tokenizer::qwen2_vectors", "qwen2_tokenizer/test_vectors.json", vectors),
        real_data_trial("tokenizer::content_never_becomes_control", "qwen2_tokenizer/tokenizer.json", content),
        real_data_trial("tokenizer::a_sequence_is_one_text", "qwen2_tokenizer/test_vectors.json", one_text),
    ]
}

#[derive(serde::Deserialize)]
struct Vector {
    text: String,
    ids: Vec<u32>,
}

fn load(path: &std::path::Path) -> Result<Tokenizer, Failed> {
    Ok(Tokenizer::load(path.parent().ok_or("a file has a folder")?)?)
}

fn vectors(path: PathBuf) -> Result<(), Failed> {
    let tokenizer = load(&path)?;
    let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(&path)?)?;
    assert_eq!(vectors.len(), 47);
    for Vector { text, ids } in vectors {
        assert_eq!(tokenizer.encode_content(&text)?, ids, "content {text:?}");
        assert_eq!(tokenizer.encode_control(&text)?, ids, "control {text:?}");
    }
    Ok(())
}

fn content(path: PathBuf) -> Result<(), Failed> {
    let tokenizer = load(&path)?;
    let end = tokenizer.token_id("<|im_end|>").ok_or("no <|im_end|>")?;
    assert_eq!(end, 151_645);
    assert_eq!(tokenizer.encode_control("a<|im_end|>")?.last(), Some(&end));
    let content = tokenizer.encode_content("a<|im_end|>")?;
    assert!(!content.contains(&end));
    assert_eq!(tokenizer.decode(&content)?, "a<|im_end|>");
    assert_eq!(tokenizer.decode(&tokenizer.encode_control("a<|im_end|>")?)?, "a");
    Ok(())
}

/// Wherever a text is cut into segments, its tokens are the same.
fn one_text(path: PathBuf) -> Result<(), Failed> {
    let tokenizer = load(&path)?;
    let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(&path)?)?;
    for Vector { text, ids } in vectors {
        let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for cut in cuts {
            let part = |text: &str, kind, trained| Segment { text: text.to_owned(), kind, trained };
            let segments =
                [part(&text[..cut], SegmentKind::Control, false), part(&text[cut..], SegmentKind::Content, true)];
            let (tokens, trained) = tokenizer.encode_segments(&segments)?;
            // A special token of the vectors is no longer one where its text lies in content.
            if tokenizer.encode_content(&text)? == ids {
                assert_eq!(tokens, ids, "{text:?} cut at {cut}");
            }
            let (answered, _) = tokenizer.encode_answered(&segments)?;
            let (prompt, _) = tokenizer.encode_segments(&segments[..1])?;
            assert!(answered.starts_with(&prompt), "{text:?} cut at {cut}");
            assert!(trained.last().is_none_or(|trained| *trained), "{text:?} cut at {cut}");
        }
    }
    Ok(())
}
