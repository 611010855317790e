//! Labels of elements, and how those of class indices are made.

use super::per_row::{PerRow, parts};
use super::{JobPlan, operand};
use crate::element::DType;
use crate::kernel::labels::{Classes, Ignored, mark, one_hot};
use crate::kernel::repeat::{IsClass, Repeat};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::params::Label;
use crate::real::Real;
use crate::simd::AnyIsa;

/// The targets of an array in which some labels have a meaning of their own. They become float64: where a label is so
/// large that another integer would become the same number, in a way that tells them apart.
pub fn targets(data: *const u8, dtype: DType, labels: [Option<Label>; 2]) -> Source<f64> {
    const WHOLE: u128 = 1 << 53;
    let large = |label: &Label| matches!(label, Label::Whole(number) if number.unsigned_abs() >= WHOLE);
    let mut source = Source::numbers(data, dtype);
    if let (Source::Array { widen: Some(widen), .. }, true) =
        (&mut source, labels.iter().flatten().any(large))
    {
        *widen = dtype.widen_targets();
    }
    source
}

/// The number that targets of a type become (see [`targets`]) if they equal a label; none if no number of the type does.
pub fn number_of(label: Label, dtype: DType) -> Option<f64> {
    let largest = [i64::MAX.into(), u64::MAX.into()];
    let integers = match dtype {
        DType::Int64 => Some((i64::MIN.into(), largest[0])),
        DType::UInt64 => Some((0, largest[1])),
        _ => None,
    };
    match (label, integers) {
        (Label::Whole(number), Some((first, last))) if !(first..=last).contains(&number) => None,
        (Label::Whole(number), Some((_, last))) if number == largest[0] && number < last => {
            Some(DType::INT64_MAX_IN_UINT64)
        }
        (Label::Whole(number), Some(_)) => Some(number as f64),
        (Label::Whole(number), None) => Some(number as f64).filter(|_| !largest.contains(&number)),
        (Label::Other(_) | Label::Nan, Some(_)) => None,
        (Label::Other(number), None) => Some(number),
        (Label::Nan, None) => Some(f64::NAN),
    }
}

/// Where the labels of elements come from.
#[derive(Clone, Copy, Debug)]
pub enum Labels<R> {
    /// Each element has its own.
    Dense(Source<R>),
    /// Each element has its own, and some are ignored, which the type that kernels compute in may not tell from others.
    /// They become [`Ignored::marked`].
    Marked(Source<f64>, Ignored<f64>),
    /// They are made of class indices.
    Indices(Indices),
}

/// Labels that are 1 where the target is the element's class, else 0; [`Ignored::marked`] where it is ignored.
#[derive(Clone, Copy, Debug)]
pub struct Indices {
    /// The class of each target.
    pub targets: Source<f64>,
    /// The class of each element; NaN if no target can be it.
    pub classes: Source<f64>,
    /// Targets that do not count.
    pub ignored: Option<Ignored<f64>>,
}

impl<R: Real> Labels<R> {
    /// The labels of tiles that follow each other: where they lie, or written to `memory`. `per_row` is there if rows of
    /// elements have a class index in common.
    ///
    /// # Safety
    /// Targets and classes must be readable wherever the plan says that they are, `memory` be valid for writing as many
    /// as there are elements, and `raw` as many of the largest type.
    #[inline]
    pub(super) unsafe fn strip(
        &self,
        isa: AnyIsa,
        (plan, tiles): (&JobPlan, Tile),
        per_row: Option<&PerRow>,
        memory: *mut R,
        raw: *mut u64,
    ) -> *const R {
        // SAFETY: handed through from the caller.
        unsafe {
            match self {
                Self::Dense(targets) => {
                    let place = Place { plan, operand: operand::TARGETS, tile: tiles };
                    return targets.strip(isa, place, memory, raw);
                }
                Self::Marked(targets, ignored) => {
                    for (start, tile) in parts(None, tiles) {
                        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
                        let targets =
                            targets.slice(isa, (plan, operand::TARGETS, tile), &mut buffer, &mut raw);
                        mark(isa, targets, *ignored, memory.add(start));
                    }
                }
                Self::Indices(indices) => indices.write(isa, plan, tiles, per_row, memory),
            }
        }
        memory
    }

    /// The array of targets.
    pub(super) fn targets(&self) -> (Option<&Source<R>>, Option<&Source<f64>>) {
        match self {
            Self::Dense(targets) => (Some(targets), None),
            Self::Marked(targets, _) | Self::Indices(Indices { targets, .. }) => (None, Some(targets)),
        }
    }
}

impl Indices {
    /// Writes the labels of tiles that follow each other.
    ///
    /// # Safety
    /// Targets and classes must be readable wherever the plan says that they are, and `labels` be valid for writing as
    /// many as there are elements.
    #[inline(never)]
    unsafe fn write<R: Real>(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tiles: Tile,
        per_row: Option<&PerRow>,
        labels: *mut R,
    ) {
        let place = Place { plan, operand: operand::CLASSES, tile: tiles };
        let classes = place.repeated(size_of::<f64>()).and_then(|offset| self.classes.run(offset));
        let per_row = per_row.filter(|_| classes.is_some());
        for (start, tile) in parts(per_row, tiles) {
            // SAFETY: handed through from the caller; a run of classes goes on for all elements.
            unsafe {
                let labels = labels.add(start);
                match (per_row, classes) {
                    (Some(per_row), Some(classes)) => {
                        let classes = std::slice::from_raw_parts(classes.add(start), tile.len);
                        self.of_rows(isa, per_row.place(plan, tile), per_row.cols(), classes, labels);
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
        (Place { plan, operand, tile }, skip): (Place<'_, 1>, usize),
        cols: usize,
        classes: &[f64],
        labels: *mut R,
    ) {
        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let targets = self.targets.slice(isa, (plan, operand, tile), &mut buffer, &mut raw);
            let each = IsClass { targets, classes, ignored: self.ignored, labels };
            isa.vectorize(Repeat::new(each, [cols, skip, classes.len()]));
        }
    }

    /// Writes the labels of one tile.
    ///
    /// # Safety
    /// As [`Indices::write`].
    unsafe fn of_elements<R: Real>(&self, isa: AnyIsa, plan: &JobPlan, tile: Tile, labels: *mut R) {
        let (mut buffers, mut raw) = ([const { Buffer::new() }; 2], Raw::new());
        let [of_targets, of_classes] = &mut buffers;
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let targets = self.targets.slice(isa, (plan, operand::TARGETS, tile), of_targets, &mut raw);
            let classes = match (Place { plan, operand: operand::CLASSES, tile }).constant() {
                Some(offset) => Classes::One(self.classes.number(isa, offset)),
                None => Classes::Each(self.classes.slice(
                    isa,
                    (plan, operand::CLASSES, tile),
                    of_classes,
                    &mut raw,
                )),
            };
            one_hot(isa, targets, classes, self.ignored, labels);
        }
    }
}
