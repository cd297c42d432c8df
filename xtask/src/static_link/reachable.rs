//! What can still run: functions that the component calls or the table holds, and all that those name.

use std::collections::BTreeSet;

use anyhow::Result;
use wasmparser::{ElementItems, ElementKind, ExternalKind, Operator};

use super::layout::{Layout, Target};

/// Every function that can be reached from outside or through the table.
pub(super) fn functions(layout: &Layout<'_>) -> Result<BTreeSet<Target>> {
    let used = layout.used_outside()?.into_iter();
    let mut waiting: Vec<Target> =
        used.filter(|(kind, _)| *kind == ExternalKind::Func).map(|(_, target)| target).collect();
    for (instance, module) in &layout.linked {
        for element in &module.elements {
            if matches!(element.kind, ElementKind::Active { .. })
                && let ElementItems::Functions(functions) = &element.items
            {
                for function in functions.clone() {
                    waiting.push(layout.local(*instance, ExternalKind::Func, function?)?);
                }
            }
        }
    }
    let mut reached = BTreeSet::new();
    while let Some(function) = waiting.pop() {
        let Target::Local { instance, index } = function else { continue };
        if !reached.insert(function) {
            continue;
        }
        let Some(body) = layout.module(instance).and_then(|module| module.body(index)) else { continue };
        for operator in body.get_operators_reader()? {
            if let Operator::Call { function_index }
            | Operator::ReturnCall { function_index }
            | Operator::RefFunc { function_index } = operator?
            {
                waiting.push(layout.local(instance, ExternalKind::Func, function_index)?);
            }
        }
    }
    Ok(reached)
}
