//! Metering: how much a guest has run, counted by code that the host puts into it.
//!
//! Each module of a component gets a global that holds the units until its next report. What can repeat charges them: a
//! function that calls others at its entry, a loop at the head of each turn, a copy or a fill by its length. Below zero
//! the module reports what it used to the host, which adds it up, looks at the clocks and may end the call; and so it
//! does when an exported function returns. What is charged depends on the component and its input alone, so a limit of
//! fuel gives the same verdict on every machine.
//!
//! A report is an attempt to grow a table of a size that no other has: the store's limiter sees by how much, and
//! refuses. A call of an imported function would not do, because the component model forbids it while the host hands
//! over arguments, and a guest may run for ever there too.
//!
//! wasmtime's own fuel counts every instruction, holds the count in a register through each function and stores it
//! around each call, which took a sixth of CPython's time more than this does.

mod allowance;
mod code;
mod module;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use wasmparser::BinaryReaderError;

pub(super) use self::allowance::{Allowance, LimitReached};
pub(super) use self::module::METER_TABLE_MAX;
use super::component_parts::{Part, with_parts};
use super::proposals::validate;

/// What decides what is put into a component: code that was compiled under another source is compiled anew.
pub(super) const METERING_SOURCE: [&str; 2] = [include_str!("code.rs"), include_str!("module.rs")];

/// The component with a meter in each of its modules, however deep.
///
/// What the meters add has the numbers after those that a module may use, so the component must be valid before: it could
/// otherwise name its own counter, and set it.
pub(super) fn metered(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    validate(component)?;
    with_meters(component)
}

fn with_meters(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    with_parts(component, |part, place| {
        let data = &component[place];
        let metered = match part {
            Part::Module => module::metered_module(data)?,
            Part::Component => with_meters(data)?,
        };
        Ok(Cow::Owned(metered))
    })
}
