//! A component's outer layer, written again with other parts in it.

use std::borrow::Cow;
use std::ops::Range;

use wasm_encoder::{Component, ComponentSectionId, RawSection};
use wasmparser::{BinaryReaderError, Parser, Payload};

/// What stands in a component as a binary of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Module,
    Component,
}

/// The component with what `other` makes of each of its parts, which it is given by their places in it. The rest stays as
/// it is, byte for byte.
pub(super) fn with_parts<'a>(
    component: &'a [u8],
    mut other: impl FnMut(Part, Range<usize>) -> Result<Cow<'a, [u8]>, BinaryReaderError>,
) -> Result<Vec<u8>, BinaryReaderError> {
    let mut written = Component::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                if depth == 0 {
                    let (part, id) = match payload {
                        Payload::ModuleSection { .. } => (Part::Module, ComponentSectionId::CoreModule),
                        _ => (Part::Component, ComponentSectionId::Component),
                    };
                    let data = other(part, unchecked_range.start..unchecked_range.end)?;
                    written.section(&RawSection { id: id.into(), data: &data });
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            rest => {
                if let Some((id, range)) = rest.as_section() {
                    written.section(&RawSection { id, data: &component[range.start..range.end] });
                }
            }
        }
    }
    Ok(written.finish())
}
