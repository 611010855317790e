//! Bringing elements of any type into a contiguous tile of the type that a kernel computes in.

use std::mem::MaybeUninit;

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Elements in a tile. A handful of tiles of the largest type fit the first-level cache.
pub const TILE: usize = 512;

/// Memory for one tile, aligned to a cache line.
#[repr(align(64))]
pub struct Buffer<R>(MaybeUninit<[R; TILE]>);

impl<R> Buffer<R> {
    /// Uninitialised memory.
    #[inline]
    pub const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Where the tile starts.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut R {
        self.0.as_mut_ptr().cast()
    }
}

impl<R> Default for Buffer<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// The element types that arrays may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// One byte, true unless 0.
    Bool,
    /// Unsigned 8-bit integer.
    UInt8,
    /// IEEE single precision.
    Float32,
    /// IEEE double precision.
    Float64,
}

impl DType {
    /// NumPy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::UInt8 => "uint8",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::UInt8 => 1,
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }
}

/// Where a kernel's operand comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<R> {
    /// One number for every element.
    Constant(R),
    /// An array of the type that the kernel computes in.
    Direct(*const R),
    /// A contiguous array of another type, rounded to the type that the kernel computes in.
    Convert(*const u8, DType),
    /// Labels in a contiguous array of another type: 0 and 1 are kept, and what is neither stays
    /// neither, also where rounding would make it 0 or 1.
    Labels(*const u8, DType),
}

impl<R: Real> Source<R> {
    /// The elements from `start` on as a contiguous tile: the array itself, or `buffer` filled.
    ///
    /// # Safety
    /// `start + len` must not exceed the array, whose memory must be readable and aligned to its
    /// type; `len` must not exceed [`TILE`].
    #[inline]
    pub unsafe fn tile(&self, isa: AnyIsa, start: usize, len: usize, buffer: &mut Buffer<R>) -> *const R {
        let target = buffer.as_mut_ptr();
        // SAFETY: the caller promises `start + len` elements and `len <= TILE`.
        unsafe {
            match *self {
                Self::Direct(array) => return array.add(start),
                Self::Constant(number) => {
                    std::slice::from_raw_parts_mut(target.cast(), len).fill(MaybeUninit::new(number))
                }
                Self::Convert(array, DType::Bool) | Self::Labels(array, DType::Bool) => {
                    convert(isa, array.add(start), target, len, |x: u8| {
                        R::from_f64(f64::from(u8::from(x != 0)))
                    })
                }
                Self::Convert(array, DType::UInt8) | Self::Labels(array, DType::UInt8) => {
                    convert(isa, array.add(start), target, len, |x: u8| R::from_f64(f64::from(x)))
                }
                Self::Convert(array, DType::Float32) | Self::Labels(array, DType::Float32) => {
                    convert(isa, array.cast::<f32>().add(start), target, len, |x| R::from_f64(f64::from(x)))
                }
                Self::Convert(array, DType::Float64) => {
                    convert(isa, array.cast::<f64>().add(start), target, len, R::from_f64)
                }
                Self::Labels(array, DType::Float64) => {
                    convert(isa, array.cast::<f64>().add(start), target, len, |x| {
                        if x == 0.0 || x == 1.0 { R::from_f64(x) } else { R::NAN }
                    })
                }
            }
        }
        target
    }
}

/// Converts a run of elements.
///
/// # Safety
/// `source` must be valid for reading and `target` for writing `len` elements.
#[inline]
unsafe fn convert<T: Copy, R>(
    isa: AnyIsa,
    source: *const T,
    target: *mut R,
    len: usize,
    cast: impl Fn(T) -> R,
) {
    struct Convert<T, R, F>(*const T, *mut R, usize, F);
    impl<T: Copy, R, F: Fn(T) -> R> Kernel for Convert<T, R, F> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let Self(source, target, len, cast) = self;
            for i in 0..len {
                // SAFETY: `i < len`, and the caller of `convert` promises `len` elements of both.
                unsafe { target.add(i).write(cast(source.add(i).read())) }
            }
        }
    }
    isa.vectorize(Convert(source, target, len, cast));
}
