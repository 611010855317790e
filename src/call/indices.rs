//! Class indices that are none: refused before anything is written.

use super::GoOn;
use crate::array::{View, lengths};
use crate::element::DType;
use crate::error::Error;
use crate::exec::indices::{Valid, all_valid};
use crate::exec::labels::number_of;
use crate::exec::{self, Stop};
use crate::kernel::tile::{Source, TILE};
use crate::layout::Plan;
use crate::params::Label;
use crate::simd::AnyIsa;

/// Refuses class indices that are none.
///
/// # Errors
/// Naming the first offender in C order; if it was stopped, or threads could not be started.
///
/// # Safety
/// The array must be readable, and no other thread may write to it meanwhile.
pub unsafe fn check(
    isa: AnyIsa,
    targets: &View<'_>,
    classes: usize,
    others: [Option<Label>; 2],
    go_on: GoOn<'_>,
) -> Result<(), Stop> {
    let numbers = others.map(|label| label.and_then(|label| number_of(label, targets.dtype)));
    let valid = Valid::new(classes, numbers);
    let source = exec::labels::targets(targets.data, targets.dtype, others);
    let search = Search { isa, source, strides: targets.strides, valid };
    // Along an axis without a stride all targets are the first.
    let mut shape = lengths(targets.shape);
    for (len, stride) in shape.iter_mut().zip(targets.strides) {
        *len = if *stride == 0 { (*len).min(1) } else { *len };
    }
    // SAFETY: handed through from the caller.
    unsafe {
        match search.first_invalid(shape, go_on)? {
            Some(place) => Err(Stop::Failed(refuse(isa, targets, (classes, others), &place))),
            None => Ok(()),
        }
    }
}

/// Where an index may be that is none.
struct Search<'a> {
    isa: AnyIsa,
    source: Source<f64>,
    strides: &'a [isize],
    valid: Valid,
}

impl Search<'_> {
    /// The place of the first invalid index in C order, if there is any: the axes are halved, one after the other.
    ///
    /// # Errors
    /// If it was stopped, or threads could not be started.
    ///
    /// # Safety
    /// The array must be readable in all of this shape.
    unsafe fn first_invalid(
        &self,
        mut shape: Vec<usize>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<usize>>, Stop> {
        let mut place = vec![0; shape.len()];
        // SAFETY: handed through from the caller.
        if unsafe { self.all_valid(&shape, &place, go_on)? } {
            return Ok(None);
        }
        for axis in 0..shape.len() {
            while shape[axis] > 1 {
                let (whole, half) = (shape[axis], shape[axis] / 2);
                shape[axis] = half;
                // SAFETY: the part is inside of the whole.
                if unsafe { self.all_valid(&shape, &place, go_on)? } {
                    place[axis] += half;
                    shape[axis] = whole - half;
                }
            }
        }
        Ok(Some(place))
    }

    /// Whether all indices of a part of this shape are valid that begins in that place.
    ///
    /// # Errors
    /// As [`first_invalid`](Self::first_invalid).
    ///
    /// # Safety
    /// The array must be readable there.
    unsafe fn all_valid(
        &self,
        shape: &[usize],
        place: &[usize],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Stop> {
        let offset = place.iter().zip(self.strides).map(|(&at, stride)| at as isize * stride).sum();
        let plan = Plan::new(shape, [self.strides], TILE, 1);
        // SAFETY: handed through from the caller.
        unsafe { all_valid(self.isa, &plan, &self.source.moved(offset), self.valid, go_on) }
    }
}

/// The refusal of the index in that place.
///
/// # Safety
/// There must be an index in that place.
unsafe fn refuse(
    isa: AnyIsa,
    targets: &View<'_>,
    (classes, others): (usize, [Option<Label>; 2]),
    place: &[usize],
) -> Error {
    let offset = place.iter().zip(targets.strides).map(|(&at, stride)| at as isize * stride).sum();
    // SAFETY: handed through from the caller.
    let index = unsafe { text(isa, targets.data.offset(offset), targets.dtype) };
    let name = match place {
        [] => targets.name.to_owned(),
        _ => format!(
            "{}[{}]",
            targets.name,
            place.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    let text = |label: &Label| match label {
        Label::Nan => " or NaN".to_owned(),
        Label::Whole(_) => format!(" or {label}"),
        Label::Other(number) => format!(" or {number}"),
    };
    let (numbers, nan): (Vec<_>, Vec<_>) = others.iter().flatten().partition(|&&label| label != Label::Nan);
    let others: String = numbers.into_iter().chain(nan).map(text).collect();
    let takes = match classes {
        0 => format!("class indices, of which there are none without classes{others}"),
        classes => format!("class indices, whole numbers from 0 to {}{others}", classes - 1),
    };
    Error::value("targets", format!("{name} = {index}"), takes)
}

/// A number as Python writes it: a whole one in all its digits if that is its type, a huge one in few.
///
/// # Safety
/// There must be an element of that type.
unsafe fn text(isa: AnyIsa, element: *const u8, dtype: DType) -> String {
    // SAFETY: handed through from the caller.
    unsafe {
        match dtype {
            DType::Int64 => element.cast::<i64>().read_unaligned().to_string(),
            DType::UInt64 => element.cast::<u64>().read_unaligned().to_string(),
            _ => {
                let mut number = 0.0_f64;
                dtype.widen::<f64>()(isa, element, &raw mut number, 1);
                if number.abs() < 1e16 { number.to_string() } else { format!("{number:?}") }
            }
        }
    }
}
