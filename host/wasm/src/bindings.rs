//! The host's side of the five worlds, generated from `wit/`. Everything generated is fenced in here; the adapters
//! turn it into the types of `plugin` and `dataset`.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "wasmtime writes this code; the WIT files document it")]

pub(super) mod dataset_loader {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "dataset-loader",
        imports: { default: trappable },
        exports: { default: async },
        with: { "hilora:plugin/source.file": crate::source::SourceFile },
    });
}

pub(super) mod domain_classifier {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "domain-classifier",
        exports: { default: async },
        with: { "hilora:plugin/types": crate::bindings::dataset_loader::hilora::plugin::types },
    });
}

pub(super) mod prompt_formatter {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "prompt-formatter",
        exports: { default: async },
        with: { "hilora:plugin/types": crate::bindings::dataset_loader::hilora::plugin::types },
    });
}

pub(super) mod output_checker {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "output-checker",
        exports: { default: async },
    });
}

pub(super) mod solution_runner {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "solution-runner",
        exports: { default: async },
    });
}

/// The types that the worlds share.
pub(super) use dataset_loader::hilora::plugin::types;

use hilora_contract::dataset::ProblemText;

impl From<&ProblemText> for types::ProblemText {
    fn from(text: &ProblemText) -> Self {
        Self {
            id: text.id.clone(),
            title: text.title.clone(),
            statement: text.statement.clone(),
            tags: text.tags.clone(),
            difficulty: text.difficulty.clone(),
        }
    }
}
