//! What wit-bindgen generates from `wit/`, fenced in one file: a module per world, the shared types once.
//!
//! A plugin author never names anything here. The modules are public only because the export macros expand in the
//! plugin's own crate.

#![allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks,
    clippy::allow_attributes_without_reason,
    reason = "the code is generated; the WIT files carry the documentation"
)]

/// `world dataset-loader`, and the home of the shared types.
pub mod dataset_loader {
    wit_bindgen::generate!({
        path: "wit",
        world: "dataset-loader",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_dataset_loader_world",
    });
}

/// `world domain-classifier`.
pub mod domain_classifier {
    wit_bindgen::generate!({
        path: "wit",
        world: "domain-classifier",
        with: { "hilora:plugin/types@0.2.0": crate::bindings::dataset_loader::hilora::plugin::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_domain_classifier_world",
    });
}

/// `world prompt-formatter`.
pub mod prompt_formatter {
    wit_bindgen::generate!({
        path: "wit",
        world: "prompt-formatter",
        with: { "hilora:plugin/types@0.2.0": crate::bindings::dataset_loader::hilora::plugin::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_prompt_formatter_world",
    });
}

/// `world output-checker`.
pub mod output_checker {
    wit_bindgen::generate!({
        path: "wit",
        world: "output-checker",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_output_checker_world",
    });
}

/// `world solution-runner`.
pub mod solution_runner {
    wit_bindgen::generate!({
        path: "wit",
        world: "solution-runner",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_solution_runner_world",
    });
}
