//! B of a product, in panels: packed block by block where it is multiplied, or before.

use std::ops::Range;

use super::operand::Operand;
use super::panels::{Orientation, PANEL, PackedView, Part, Unit, Units, pack};
use super::source::RowSource;
use crate::element::Element;

/// B: a source, as it is or transposed, or panels that were packed before.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a, E = f32> {
    /// The source is [depth, columns].
    Straight(&'a dyn RowSource),
    /// The source is [columns, depth].
    Transposed(&'a dyn RowSource),
    /// Packed.
    Packed(PackedView<'a, E>),
}

impl<E: Element> Factor<'_, E> {
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Straight(source) => source.rows(),
            Self::Transposed(source) => source.columns(),
            Self::Packed(view) => view.depth,
        }
    }

    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Straight(source) => source.columns(),
            Self::Transposed(source) => source.rows(),
            Self::Packed(view) => view.columns,
        }
    }
}

/// One of the products that are added up.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, E = f32> {
    pub(crate) a: Operand<'a, E>,
    pub(crate) b: Factor<'a, E>,
}

impl<'a, E: Element> Factor<'a, E> {
    /// The panels of a part of B, and how many units of depth each of them holds.
    pub(super) fn block<'b>(
        &self,
        columns: &Range<usize>,
        depth: &Range<usize>,
        buffer: &'b mut Units,
    ) -> (&'b [Unit], usize)
    where
        'a: 'b,
    {
        let (source, orientation) = match self {
            Self::Straight(source) => (*source, Orientation::Straight),
            Self::Transposed(source) => (*source, Orientation::Transposed),
            Self::Packed(view) => {
                let at = columns.start * view.panel_units + depth.start / E::layout().elements() * PANEL;
                return (&view.panels[at..], view.panel_units);
            }
        };
        let part = Part { columns: columns.clone(), depth: depth.clone() };
        let panels = buffer.room(part.units_total::<E>());
        pack::<E>(source, orientation, &part, panels);
        (panels, depth.len() / E::layout().elements())
    }
}
