//! A domain classifier: says which domain a problem belongs to. It sees a problem's text, never its tests.

use crate::bindings::domain_classifier::exports::hilora::plugin::classifier as world;

pub use world::Guest as DomainClassifier;
pub use world::{Classification, ClassifyError, DomainInfo, Score};

/// Exports a [`DomainClassifier`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_classifier {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::bindings::domain_classifier::export_domain_classifier_world!(
                $plugin with_types_in $crate::bindings::domain_classifier
            );
        };
    };
}
