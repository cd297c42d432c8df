//! Static linking: the modules of a component that were linked dynamically become one.
//!
//! componentize-py ships CPython as shared libraries. Every instance of such a component is a dozen core instances that
//! import from each other: the function table is filled by code, a call of `malloc` leaves its module, and the address
//! of every global variable is read from another module. The snapshot that componentize-py stores has fixed all of
//! that, so it can be resolved once, here: one module with one memory, whose table is data, whose calls are direct and
//! whose addresses are constants.
//!
//! What stays outside is what wit-component needs to tie the knot of host functions and memory: the shim's table and
//! the module that fills it. Nothing of what the component does changes; `merge` says which facts that rests on, and a
//! component that does not offer them is refused.

mod constants;
mod layout;
mod merge;
mod module;
mod reachable;
mod rewrite;

use anyhow::{Context, Result};
use wasmparser::Validator;

/// The component with its dynamically linked modules as one module.
///
/// # Errors
///
/// When the bytes are no component, or one that is linked in a way that this does not know.
pub(crate) fn static_link(component: &[u8]) -> Result<Vec<u8>> {
    let layout = layout::Layout::read(component).context("cannot read the component")?;
    let merged = merge::merge(&layout).context("cannot merge the component's modules")?;
    let linked = rewrite::rewrite(&layout, &merged).context("cannot write the component")?;
    Validator::new().validate_all(&linked).context("the linked component is not valid")?;
    Ok(linked)
}

#[cfg(test)]
mod tests;
