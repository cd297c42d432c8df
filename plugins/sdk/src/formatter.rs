//! A prompt formatter: lays out what a model reads and learns. It tokenizes nothing.

use crate::bindings::prompt_formatter::exports::hilora::plugin::formatter as world;

pub use world::Guest as PromptFormatter;
pub use world::{Example, FormatError, Lesson, Segment, SegmentKind, Sequence};

/// Exports a [`PromptFormatter`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_formatter {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::bindings::prompt_formatter::export_prompt_formatter_world!(
                $plugin with_types_in $crate::bindings::prompt_formatter
            );
        };
    };
}
