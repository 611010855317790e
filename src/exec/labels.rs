//! Labels of elements, and how those of class indices are made.

use super::heads::{Heads, parts};
use super::{JobPlan, operand};
use crate::kernel::prepare::one_hot;
use crate::kernel::repeat::{IsClass, Repeat};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Where the labels of elements come from.
#[derive(Clone, Copy, Debug)]
pub enum Labels<R> {
    /// Each element has its own.
    Dense(Source<R>),
    /// They are made of class indices.
    Indices(Indices),
}

/// Labels that are 1 where the target is the element's class, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Indices {
    /// The class of each target.
    pub targets: Source<f64>,
    /// The class of each element; NaN if no target can be it.
    pub classes: Source<f64>,
}

impl<R: Real> Labels<R> {
    /// The labels of tiles that follow each other: where they lie, or written to `memory`. `heads` are those of class
    /// indices.
    ///
    /// # Safety
    /// Targets and classes must be readable wherever the plan says that they are, `memory` be valid for writing as many
    /// as there are elements, and `raw` as many of the largest type.
    #[inline]
    pub(super) unsafe fn strip(
        &self,
        isa: AnyIsa,
        (plan, tiles): (&JobPlan, Tile),
        heads: Option<&Heads>,
        memory: *mut R,
        raw: *mut u64,
    ) -> *const R {
        // SAFETY: handed through from the caller.
        unsafe {
            match self {
                Self::Dense(targets) => {
                    let place = Place { plan, operand: operand::TARGETS, tile: tiles };
                    targets.strip(isa, place, memory, raw)
                }
                Self::Indices(indices) => {
                    indices.write(isa, plan, tiles, heads, memory);
                    memory
                }
            }
        }
    }
}

impl Indices {
    /// Writes the labels of tiles that follow each other. `heads` are those of the targets.
    ///
    /// # Safety
    /// Targets and classes must be readable wherever the plan says that they are, and `labels` be valid for writing as
    /// many as there are elements.
    #[inline(never)]
    pub(super) unsafe fn write<R: Real>(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tiles: Tile,
        heads: Option<&Heads>,
        labels: *mut R,
    ) {
        let place = Place { plan, operand: operand::CLASSES, tile: tiles };
        let classes = place.repeated(size_of::<f64>()).and_then(|offset| self.classes.run(offset));
        let heads = heads.filter(|_| classes.is_some());
        for (start, tile) in parts(heads, tiles) {
            // SAFETY: handed through from the caller; a run of classes goes on for all elements.
            unsafe {
                let labels = labels.add(start);
                match (heads, classes) {
                    (Some(heads), Some(classes)) => {
                        let classes = std::slice::from_raw_parts(classes.add(start), tile.len);
                        self.of_rows(isa, heads.of(plan, tile), heads.cols(), classes, labels);
                    }
                    _ => self.of_elements(isa, plan, tile, labels),
                }
            }
        }
    }

    /// Writes the labels of elements whose rows have targets in common, and whose classes stand in a run.
    ///
    /// # Safety
    /// As [`Indices::write`]; there must be at most a tile of rows.
    unsafe fn of_rows<R: Real>(
        &self,
        isa: AnyIsa,
        (place, skip): (Place<'_, 1>, usize),
        cols: usize,
        classes: &[f64],
        labels: *mut R,
    ) {
        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let targets = self.targets.tile(isa, place, &mut buffer, &mut raw);
            let targets = std::slice::from_raw_parts(targets, place.tile.len);
            isa.vectorize(Repeat::new(IsClass { targets, classes, labels }, [cols, skip, classes.len()]));
        }
    }

    /// Writes the labels of one tile.
    ///
    /// # Safety
    /// As [`Indices::write`].
    unsafe fn of_elements<R: Real>(&self, isa: AnyIsa, plan: &JobPlan, tile: Tile, labels: *mut R) {
        let (mut targets, mut classes, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
        let place = |operand| Place { plan, operand, tile };
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let targets = self.targets.tile(isa, place(operand::TARGETS), &mut targets, &mut raw);
            let targets = std::slice::from_raw_parts(targets, tile.len);
            if let Some(offset) = place(operand::CLASSES).constant() {
                return one_hot(isa, targets, self.classes.number(isa, offset), labels);
            }
            let classes = self.classes.tile(isa, place(operand::CLASSES), &mut classes, &mut raw);
            one_hot(isa, targets, std::slice::from_raw_parts(classes, tile.len), labels);
        }
    }
}
