//! Arrays as the core sees them: where the elements are, of which type, and how they lie.
//!
//! A [`View`] borrows memory and owns none. It is what NumPy calls an array without the object around it: a pointer
//! to the first element, a shape, and for each axis the bytes from an element to the next (0 where the same element
//! is seen again and again). Plain slices become views with the help of a [`Shape`]:
//!
//! ```
//! use focalgrad::array::{Shape, View};
//!
//! let numbers = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
//! let table = Shape::new(&[2, 3], size_of::<f32>());
//! let view = View::of("logits", &numbers, &table);
//! assert_eq!(view.shape(), [2, 3]);
//! ```

use crate::element::{DType, Stored};
use crate::error::Error;
use crate::layout::{Extent, meet, meets_itself};

/// The lengths of an array's axes in C order, and the strides that follow from them.
#[derive(Clone, Debug)]
pub struct Shape {
    lengths: Vec<isize>,
    strides: Vec<isize>,
}

impl Shape {
    /// A shape of elements of that many bytes each.
    pub fn new(lengths: &[usize], size: usize) -> Self {
        let lengths: Vec<isize> = lengths.iter().map(|&len| len as isize).collect();
        let mut strides = vec![0; lengths.len()];
        let mut step = size as isize;
        for (stride, &len) in strides.iter_mut().zip(&lengths).rev() {
            *stride = step;
            step *= len.max(1);
        }
        Self { lengths, strides }
    }

    /// Number of elements.
    fn len(&self) -> usize {
        self.lengths.iter().map(|&len| len as usize).product()
    }
}

/// An array: borrowed memory with a shape.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the caller calls it: error messages do, too.
    pub(crate) name: &'static str,
    /// The type of its elements.
    pub(crate) dtype: DType,
    /// The lengths of its axes.
    pub(crate) shape: &'a [isize],
    /// Bytes from an element to the next, along each axis.
    pub(crate) strides: &'a [isize],
    /// Its first element.
    pub(crate) data: *mut u8,
    /// Whether the elements follow each other in C order.
    pub(crate) c_order: bool,
    /// Whether they do in Fortran order.
    pub(crate) fortran_order: bool,
    /// Whether it may be written to.
    pub(crate) writeable: bool,
}

// SAFETY: a view is made of a slice, or by somebody who vouches for the memory as if it were one.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// A slice as an array of that shape.
    ///
    /// # Panics
    /// If the shape has another number of elements, or is one of elements of another size.
    pub fn of<T: Stored>(name: &'static str, elements: &'a [T], shape: &'a Shape) -> Self {
        let data = elements.as_ptr().cast_mut().cast();
        Self::sliced(name, T::DTYPE, data, elements.len(), shape, false)
    }

    /// An array anywhere in memory, `strides` being the bytes from an element to the next along each axis.
    ///
    /// # Safety
    /// For the lifetime of the view there must be readable elements of that type wherever shape and strides say so, and
    /// nobody may write to them; they need not be aligned.
    pub unsafe fn from_raw(
        name: &'static str,
        data: *const u8,
        dtype: DType,
        shape: &'a [isize],
        strides: &'a [isize],
    ) -> Self {
        let size = dtype.size() as isize;
        let c_order = are_steps(shape.iter().zip(strides).rev(), size);
        let fortran_order = are_steps(shape.iter().zip(strides), size);
        let data = data.cast_mut();
        Self { name, dtype, shape, strides, data, c_order, fortran_order, writeable: false }
    }

    /// So many elements one after the other.
    pub(crate) fn sliced(
        name: &'static str,
        dtype: DType,
        data: *mut u8,
        len: usize,
        shape: &'a Shape,
        writeable: bool,
    ) -> Self {
        let last = shape.strides.last().copied().unwrap_or(dtype.size() as isize);
        assert_eq!(len, shape.len(), "{name}: as many elements as the shape has");
        assert_eq!(last, dtype.size() as isize, "{name}: a shape of elements of this size");
        let fortran_order = shape.lengths.iter().filter(|&&len| len != 1).count() < 2;
        let (lengths, strides) = (&shape.lengths[..], &shape.strides[..]);
        Self { name, dtype, shape: lengths, strides, data, c_order: true, fortran_order, writeable }
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &'a [isize] {
        self.shape
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.shape.iter().map(|&len| len as usize).product()
    }

    /// Refuses shapes that differ.
    pub(crate) fn check_shape(&self, other: &Self) -> Result<(), Error> {
        if self.shape == other.shape {
            return Ok(());
        }
        let takes = format!("of the shape of {}, {}", other.name, shape_text(other.shape));
        Err(Error::value(self.name, format!("shape {}", shape_text(self.shape)), takes))
    }

    /// The strides with which the array broadcasts to the shape of `what`: 0 where it does not vary. An array that
    /// would make the result larger is refused.
    pub(crate) fn broadcast_to(&self, what: &str, shape: &[isize]) -> Result<Vec<isize>, Error> {
        let refuse = || {
            let takes =
                format!("a number or an array that broadcasts to the shape of {what}, {}", shape_text(shape));
            Error::value(self.name, format!("shape {}", shape_text(self.shape)), takes)
        };
        let missing = shape.len().checked_sub(self.shape.len()).ok_or_else(refuse)?;
        let mut strides = vec![0; missing];
        for ((&len, &stride), &wanted) in self.shape.iter().zip(self.strides).zip(&shape[missing..]) {
            strides.push(match len {
                1 => 0,
                _ if len == wanted => stride,
                _ => return Err(refuse()),
            });
        }
        Ok(strides)
    }

    /// Refuses an array that cannot hold results of that type and shape.
    pub(crate) fn check_results(&self, dtype: DType, shape: &[isize]) -> Result<(), Error> {
        let name = self.name;
        self.check_dtype(dtype)?;
        if self.shape != shape {
            let takes = format!("of the result's shape {}", shape_text(shape));
            return Err(Error::value(name, shape_text(self.shape), takes));
        }
        if !self.writeable {
            return Err(Error::value(name, "a read-only array", "writeable"));
        }
        if !(self.c_order || self.fortran_order) && meets_itself(&self.extent()) {
            let got = format!("shape {} with strides {:?}", shape_text(self.shape), self.strides);
            return Err(Error::value(name, got, "an array whose elements do not share memory"));
        }
        Ok(())
    }

    /// Refuses an array of another type.
    pub(crate) fn check_dtype(&self, dtype: DType) -> Result<(), Error> {
        if self.dtype == dtype {
            return Ok(());
        }
        let got = format!("an array of dtype {}", self.dtype.name());
        Err(Error::wrong_type(self.name, got, result_dtype(dtype)))
    }

    /// Whether the elements are the very memory of another array's.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.extent().is(&other.extent())
    }

    /// Refuses an output that shares memory with an input, unless they are the very same array.
    #[inline]
    pub(crate) fn check_overlap(&self, input: &Self) -> Result<(), Error> {
        if self.is(input) { Ok(()) } else { self.check_disjoint(input) }
    }

    /// Refuses arrays that share memory.
    #[inline]
    pub(crate) fn check_disjoint(&self, other: &Self) -> Result<(), Error> {
        if meet(&self.extent(), &other.extent()) {
            return Err(Error::Overlap { output: self.name, other: other.name });
        }
        Ok(())
    }

    #[inline]
    fn extent(&self) -> Extent<'_> {
        let (start, size) = (self.data.addr(), self.dtype.size());
        Extent { start, size, shape: self.shape, strides: self.strides }
    }
}

/// An array to fill.
#[derive(Debug)]
pub struct Output<'a>(pub(crate) View<'a>);

impl<'a> Output<'a> {
    /// A slice as an array of that shape.
    ///
    /// # Panics
    /// If the shape has another number of elements, or is one of elements of another size.
    pub fn of<T: Stored>(name: &'static str, elements: &'a mut [T], shape: &'a Shape) -> Self {
        let (data, len) = (elements.as_mut_ptr().cast(), elements.len());
        Self(View::sliced(name, T::DTYPE, data, len, shape, true))
    }

    /// An array anywhere in memory, as [`View::from_raw`].
    ///
    /// # Safety
    /// As there, but the elements must be writeable, and nobody else may read them either. They may be exactly those of
    /// a view that the same call reads.
    pub unsafe fn from_raw(
        name: &'static str,
        data: *mut u8,
        dtype: DType,
        shape: &'a [isize],
        strides: &'a [isize],
    ) -> Self {
        // SAFETY: handed through from the caller.
        let view = unsafe { View::from_raw(name, data, dtype, shape, strides) };
        Self(View { writeable: true, ..view })
    }
}

/// Whether strides, from the inside out, are those of elements that follow each other.
fn are_steps<'s>(axes: impl Iterator<Item = (&'s isize, &'s isize)>, size: isize) -> bool {
    let mut step = size;
    axes.filter(|&(&len, _)| len != 1).all(|(&len, &stride)| {
        let follows = stride == step;
        step *= len;
        follows
    })
}

/// What an output of results of that type must be.
pub(crate) fn result_dtype(dtype: DType) -> String {
    format!("an array of the result's dtype {}", dtype.name())
}

/// A shape as Python writes it.
pub fn shape_text(shape: &[isize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The lengths of axes as counts.
pub(crate) fn lengths(shape: &[isize]) -> Vec<usize> {
    shape.iter().map(|&len| len as usize).collect()
}

/// A shape, or strides, without one axis.
pub(crate) fn without(axes: &[isize], axis: usize) -> Vec<isize> {
    let mut axes = axes.to_vec();
    // What does not vary along the last axes may have no strides for them.
    if axis < axes.len() {
        axes.remove(axis);
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_told_from_strides() {
        let numbers = [0.0_f32; 12];
        let of = |shape: &[isize], strides: &[isize]| {
            // SAFETY: no element of these is farther than the last of the twelve; nothing is read anyway.
            let view =
                unsafe { View::from_raw("logits", numbers.as_ptr().cast(), DType::Float32, shape, strides) };
            (view.c_order, view.fortran_order)
        };
        assert_eq!(of(&[3, 4], &[16, 4]), (true, false));
        assert_eq!(of(&[3, 4], &[4, 12]), (false, true));
        assert_eq!(of(&[12], &[4]), (true, true));
        assert_eq!(of(&[1, 12], &[-8, 4]), (true, true));
        assert_eq!(of(&[2, 3], &[4, 4]), (false, false));
        assert_eq!(of(&[], &[]), (true, true));
    }
}
