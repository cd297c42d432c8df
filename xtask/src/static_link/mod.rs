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
mod stack;

use anyhow::{Context, Result};
use wasmparser::Validator;

pub(crate) use stack::STACK_BYTES;

/// What becomes of CPython on the way.
pub(crate) struct Changes<'a> {
    /// How large its C stack is to be.
    pub(crate) stack_bytes: u32,
    /// A core module whose functions take the place of the C library's. What it has in memory stands where the stack was.
    pub(crate) libm: &'a [u8],
}

/// The component with its dynamically linked modules as one module.
///
/// # Errors
///
/// When the bytes are no component, or one that is linked in a way that this does not know.
pub(crate) fn static_link(component: &[u8], changes: Option<&Changes<'_>>) -> Result<Vec<u8>> {
    let mut layout = layout::Layout::read(component).context("cannot read the component")?;
    let libm = changes.map(|changes| layout.replace(changes.libm)).transpose().context("cannot read libm")?;
    let stack = changes.zip(libm).map(|(changes, libm)| (changes.stack_bytes, libm));
    let merged = merge::merge(&layout, stack).context("cannot merge the component's modules")?;
    let linked = rewrite::rewrite(&layout, &merged).context("cannot write the component")?;
    Validator::new().validate_all(&linked).context("the linked component is not valid")?;
    Ok(linked)
}

#[cfg(test)]
mod tests;
