//! Between arrays as they lie in memory and contiguous tiles of the type that a kernel computes in.
//!
//! What is in that form already is used where it is. Everything else is gathered, and converted, through a tile in
//! the first-level cache; results go the other way.

use std::mem::MaybeUninit;

use super::grid::{self, Grid};
use crate::cache::{Ahead, prefetch_run};
use crate::element::{DType, Narrow, Widen};
use crate::layout::{Piece, Plan, Tile};
use crate::real::Real;
use crate::simd::{AnyIsa, stream};

/// Elements in a tile. A handful of tiles of the largest type fit the first-level cache.
pub const TILE: usize = 512;

/// Tiles that kernels go over at once, if their operands allow it: few enough for the first-level cache.
pub const STRIP: usize = 4;

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

/// Memory for a tile of any type, before it is converted or after.
pub type Raw = Buffer<u64>;

/// Where a tile lies: the operand's place in the plan, and the tile's number.
#[derive(Clone, Copy)]
pub struct Place<'a, const N: usize> {
    /// The plan.
    pub plan: &'a Plan<N>,
    /// The operand's number.
    pub operand: usize,
    /// The tile.
    pub tile: Tile,
}

impl<const N: usize> Place<'_, N> {
    #[inline]
    fn piece(&self) -> Option<Piece> {
        self.plan.piece(self.operand, self.tile)
    }

    fn pieces(&self, visit: impl FnMut(Piece)) {
        self.plan.pieces(self.operand, self.tile, visit);
    }

    /// Where the one element is that all of the tile are, in bytes from the operand's first.
    #[inline]
    pub fn constant(&self) -> Option<isize> {
        self.piece().filter(|piece| piece.rows == 1 && piece.col_stride == 0).map(|piece| piece.offset)
    }

    /// Where the tile starts in a list made by [`repeating`], if it is one run there.
    #[inline]
    pub fn repeated(&self, size: usize) -> Option<isize> {
        let run = self.piece().filter(|piece| piece.is_run(size)).map(|piece| piece.offset);
        run.or_else(|| self.plan.repeats_at(self.operand, self.tile, size))
    }
}

/// Where a kernel's operand comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<R> {
    /// One number for every element.
    Constant(R),
    /// An array.
    Array {
        /// The first element.
        data: *const u8,
        /// The type of its elements.
        dtype: DType,
        /// Bytes of an element.
        size: usize,
        /// How elements become what the kernel computes in; nothing if that is what they are.
        widen: Option<Widen<R>>,
        /// Whether the array goes on for a strip of tiles behind its end, as if it began again.
        repeats: bool,
    },
}

impl<R: Real> Source<R> {
    /// Numbers of any type, rounded to the type that the kernel computes in.
    pub fn numbers(data: *const u8, dtype: DType) -> Self {
        let widen = (dtype != DType::of::<R>()).then(|| dtype.widen());
        Self::Array { data, dtype, size: dtype.size(), widen, repeats: false }
    }

    /// Weights of any type, as kernels take them: see [`Real::from_weight`].
    pub fn weights(data: *const u8, dtype: DType) -> Self {
        let widen = (dtype != DType::of::<R>()).then(|| dtype.widen_weights());
        Self::Array { data, dtype, size: dtype.size(), widen, repeats: false }
    }

    /// A list made by [`repeating`]: where it begins again and again, tiles need no copy.
    pub fn list(list: &[R]) -> Self {
        Self::Array {
            data: list.as_ptr().cast(),
            dtype: DType::of::<R>(),
            size: size_of::<R>(),
            widen: None,
            repeats: true,
        }
    }

    /// Where a list goes on so many bytes from its first number.
    #[inline]
    pub fn run(&self, offset: isize) -> Option<*const R> {
        match *self {
            Self::Array { data, widen: None, repeats: true, .. } => Some(data.wrapping_offset(offset).cast()),
            _ => None,
        }
    }

    /// The number that stands so many bytes from the first.
    ///
    /// # Safety
    /// The array must have an element there.
    #[inline]
    pub unsafe fn number(&self, isa: AnyIsa, offset: isize) -> R {
        match *self {
            Self::Constant(number) => number,
            Self::Array { data, widen, .. } => {
                let element = data.wrapping_offset(offset);
                let mut number = R::ZERO;
                // SAFETY: the caller vouches for the element.
                unsafe {
                    match widen {
                        Some(widen) => widen(isa, element, &raw mut number, 1),
                        None => number = element.cast::<R>().read_unaligned(),
                    }
                }
                number
            }
        }
    }

    /// Where tiles that follow each other lie, if the array has them as a run of this type.
    #[inline]
    pub fn own<S: Real, const N: usize>(&self, place: Place<'_, N>) -> Option<*const S> {
        self.run_of(DType::of::<S>(), place)
    }

    /// The same for class indices as they come mostly.
    #[inline]
    pub fn own_indices<const N: usize>(&self, place: Place<'_, N>) -> Option<*const i64> {
        self.run_of(DType::Int64, place)
    }

    /// The same for types of one byte.
    #[inline]
    pub fn own_bytes<const N: usize>(&self, place: Place<'_, N>) -> Option<*const u8> {
        let mut types = [DType::Bool, DType::UInt8, DType::Int8].into_iter();
        types.find_map(|dtype| self.run_of(dtype, place))
    }

    /// Where tiles that follow each other lie, if the array has them as a run of a type, which `S` stands for.
    #[inline]
    fn run_of<S, const N: usize>(&self, wanted: DType, place: Place<'_, N>) -> Option<*const S> {
        match *self {
            Self::Array { data, dtype, size, .. } if dtype == wanted => {
                let run = place.piece().filter(|piece| piece.is_run(size))?;
                Some(data.wrapping_offset(run.offset).cast::<S>()).filter(|run| run.is_aligned())
            }
            _ => None,
        }
    }

    /// A tile, contiguous: the array's own memory, or `buffer` filled.
    ///
    /// # Safety
    /// The array must be readable wherever the plan says that the operand has elements.
    #[inline]
    pub unsafe fn tile<const N: usize>(
        &self,
        isa: AnyIsa,
        place: Place<'_, N>,
        buffer: &mut Buffer<R>,
        raw: &mut Raw,
    ) -> *const R {
        // SAFETY: handed through from the caller; buffers hold a tile, the raw one of the largest type.
        unsafe { self.strip(isa, place, buffer.as_mut_ptr(), raw.as_mut_ptr()) }
    }

    /// A tile as a slice, which lives no longer than the array and the buffer.
    ///
    /// # Safety
    /// As [`Source::tile`].
    #[inline]
    pub unsafe fn slice<'s, const N: usize>(
        &self,
        isa: AnyIsa,
        (plan, operand, tile): (&Plan<N>, usize, Tile),
        buffer: &'s mut Buffer<R>,
        raw: &mut Raw,
    ) -> &'s [R] {
        // SAFETY: handed through from the caller; a tile has `len` elements.
        unsafe {
            let start = self.tile(isa, Place { plan, operand, tile }, buffer, raw);
            std::slice::from_raw_parts(start, tile.len)
        }
    }

    /// As [`Source::tile`], of several tiles that follow each other.
    ///
    /// # Safety
    /// As [`Source::tile`]; `target` must be valid for writing as many elements, `raw` as many of the largest type.
    #[inline]
    pub unsafe fn strip<const N: usize>(
        &self,
        isa: AnyIsa,
        place: Place<'_, N>,
        target: *mut R,
        raw: *mut u64,
    ) -> *const R {
        let len = place.tile.len;
        match *self {
            Self::Constant(number) => {
                // SAFETY: handed through from the caller.
                unsafe { std::slice::from_raw_parts_mut(target.cast(), len).fill(MaybeUninit::new(number)) };
            }
            Self::Array { data, size, widen, repeats, .. } => {
                let run = if repeats {
                    place.repeated(size)
                } else {
                    place.piece().filter(|piece| piece.is_run(size)).map(|piece| piece.offset)
                };
                let run = run.map(|offset| data.wrapping_offset(offset));
                // SAFETY: the caller vouches for the elements and for the memory.
                unsafe {
                    match (run, widen) {
                        (Some(run), None) if run.cast::<R>().is_aligned() => return run.cast(),
                        (Some(run), Some(widen)) => widen(isa, run, target, len),
                        (_, None) => gather(isa, size, data, place, target.cast()),
                        (None, Some(widen)) => {
                            let raw = raw.cast();
                            gather(isa, size, data, place, raw);
                            widen(isa, raw, target, len);
                        }
                    }
                }
            }
        }
        target
    }
}

impl<R: Real> Source<R> {
    /// The numbers that an array has along one axis.
    ///
    /// # Safety
    /// The array must be readable wherever an axis of that length and with that stride, in bytes, has elements.
    pub unsafe fn along(&self, isa: AnyIsa, len: usize, stride: isize) -> Vec<R> {
        let plan = Plan::new(&[len], [&[stride]], TILE, 0);
        let mut numbers = Vec::with_capacity(len);
        for tile in (0..plan.tiles()).map(|number| plan.tile(number)) {
            let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
            let place = Place { plan: &plan, operand: 0, tile };
            // SAFETY: the caller vouches for the array; a tile has `len` elements.
            numbers.extend(unsafe {
                std::slice::from_raw_parts(self.tile(isa, place, &mut buffer, &mut raw), tile.len)
            });
        }
        numbers
    }
}

impl<R> Source<R> {
    /// The source that starts so many bytes on.
    pub fn moved(self, bytes: isize) -> Self {
        match self {
            Self::Constant(_) => self,
            Self::Array { data, size, widen, repeats, dtype } => {
                Self::Array { data: data.wrapping_offset(bytes), size, widen, repeats, dtype }
            }
        }
    }

    /// Adds the memory of a tile, if it is one run. What kernels read where it lies they ask for themselves, a little
    /// ahead: it is added only if `early`.
    #[inline]
    pub fn ask<const N: usize>(&self, place: Place<'_, N>, early: bool, ahead: &mut Ahead) {
        if let Self::Array { data, size, widen, .. } = *self
            && (early || widen.is_some() || !place.plan.is_run(place.operand, size))
            && let Some(piece) = place.piece()
        {
            piece.ask(data, ahead);
        }
    }

    /// Asks for a tile's memory ahead of its use, if it is one run.
    #[inline]
    pub fn prefetch_run<const N: usize>(&self, place: Place<'_, N>) {
        if let (Self::Array { data, size, .. }, Some(piece)) = (self, place.piece())
            && piece.is_run(*size)
        {
            prefetch_run::<false>(data.wrapping_offset(piece.offset), piece.cols * size);
        }
    }

    /// Asks for a tile's memory ahead of its use, where the processor would not foresee it.
    #[inline]
    pub fn prefetch<const N: usize>(&self, place: Place<'_, N>) {
        if let (Self::Array { data, size, .. }, Some(piece)) = (self, place.piece()) {
            piece.prefetch(*data, *size);
        }
    }
}

/// Makes a list go on for a strip of tiles behind its end, as if it began again; not for more than `most` elements, if
/// a call has no more.
pub fn repeating<R: Copy>(mut list: Vec<R>, most: usize) -> Vec<R> {
    let end = list.len() + if list.is_empty() { 0 } else { most.min(STRIP * TILE) };
    list.reserve_exact(end - list.len());
    let period = list.len();
    while list.len() < end {
        // Whole periods, as many as there are: the list doubles.
        let whole = list.len() / period * period;
        list.extend_from_within(..whole.min(end - list.len()));
    }
    list
}

/// How results of a call are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Through the caches.
    Ordinary,
    /// Past the caches, where kernels can do it themselves.
    Streaming,
    /// Past the caches, if need be from a buffer.
    AlwaysStreaming,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Target<R> {
    data: *mut u8,
    size: usize,
    narrow: Option<Narrow<R>>,
    stores: Stores,
}

impl<R: Real> Target<R> {
    /// An array of the type that the kernel computes in, or of a half type. What is not in one piece is not streamed.
    pub fn new(data: *mut u8, dtype: DType, stores: Stores) -> Self {
        Self { data, size: dtype.size(), narrow: dtype.narrow(), stores }
    }

    /// Whether it is an input's memory: if it is not exactly that, it shares none with it.
    pub fn is<T>(&self, source: &Source<T>) -> bool {
        matches!(source, Source::Array { data, .. } if *data == self.data.cast_const())
    }

    /// Where the kernel writes a tile: the array's own memory, or nowhere if it must write to a buffer.
    #[inline]
    pub fn direct<const N: usize>(&self, place: Place<'_, N>) -> Option<*mut R> {
        if self.stores == Stores::AlwaysStreaming { None } else { self.run(place) }
    }

    /// Where the kernel writes a tile past the caches, if it can.
    #[inline]
    pub fn streaming<const N: usize>(&self, place: Place<'_, N>) -> Option<*mut R> {
        if self.stores == Stores::Ordinary { None } else { self.run(place) }
    }

    /// The array's own memory, if the kernel can write a tile there.
    #[inline]
    fn run<const N: usize>(&self, place: Place<'_, N>) -> Option<*mut R> {
        if self.narrow.is_some() {
            return None;
        }
        let piece = place.piece().filter(|piece| piece.is_run(self.size))?;
        Some(self.data.wrapping_offset(piece.offset).cast::<R>()).filter(|run| run.is_aligned())
    }

    /// Adds the memory of a tile that kernels do not write where it lies, if it is one run.
    #[inline]
    pub fn ask<const N: usize>(&self, place: Place<'_, N>, ahead: &mut Ahead) {
        let direct = self.narrow.is_none() && place.plan.is_run(place.operand, self.size);
        let streamed = self.stores == Stores::AlwaysStreaming;
        if let Some(piece) = place.piece().filter(|_| !streamed && !direct) {
            piece.ask(self.data, ahead);
        }
    }

    /// As [`Source::prefetch`].
    #[inline]
    pub fn prefetch<const N: usize>(&self, place: Place<'_, N>) {
        if let Some(piece) = place.piece() {
            piece.prefetch(self.data, self.size);
        }
    }

    /// Brings a tile that the kernel wrote to a buffer to where it belongs.
    ///
    /// # Safety
    /// `tile` must be valid for the tile's elements, the array writeable wherever the plan says that the operand
    /// has elements.
    pub unsafe fn put<const N: usize>(
        &self,
        isa: AnyIsa,
        place: Place<'_, N>,
        tile: *const R,
        raw: &mut Raw,
    ) {
        // SAFETY: handed through from the caller; the raw buffer holds a tile of the largest type.
        unsafe { self.put_strip(isa, place, tile, raw.as_mut_ptr()) }
    }

    /// As [`Target::put`], of several tiles that follow each other.
    ///
    /// # Safety
    /// As [`Target::put`]; `raw` must be valid for writing as many elements of the largest type.
    pub unsafe fn put_strip<const N: usize>(
        &self,
        isa: AnyIsa,
        place: Place<'_, N>,
        tile: *const R,
        raw: *mut u64,
    ) {
        let &Self { data, size, narrow, stores } = self;
        let streamed = stores == Stores::AlwaysStreaming;
        let len = place.tile.len;
        let mut source = tile.cast::<u8>();
        if let Some(narrow) = narrow {
            if let Some(run) = place.piece().filter(|piece| piece.is_run(size) && !streamed) {
                // SAFETY: the caller vouches for the tile and the array.
                return unsafe { narrow(isa, tile, data.offset(run.offset), len) };
            }
            let raw = raw.cast::<u8>();
            // SAFETY: the caller vouches for the tile and the memory.
            unsafe { narrow(isa, tile, raw, len) };
            source = raw;
        }
        place.pieces(|piece| {
            // SAFETY: the caller vouches for the array; the pieces of a tile have `len` elements in all.
            unsafe {
                let to = data.offset(piece.offset);
                let from = source.add(piece.at * size);
                if streamed && piece.is_run(size) {
                    return stream(from, to, piece.cols * size);
                }
                let source = tile_grid(from, size, piece);
                let target = Grid { start: to, row: piece.row_stride, col: piece.col_stride };
                grid::copy(isa, size, [piece.rows, piece.cols], source, target);
            }
        });
    }
}

impl Piece {
    /// Asks for the memory of a piece that is not a run.
    #[inline]
    fn prefetch(&self, data: *const u8, size: usize) {
        if !self.is_run(size) {
            let start = data.wrapping_offset(self.offset);
            let grid = Grid { start, row: self.row_stride, col: self.col_stride };
            grid::prefetch_grid(size, [self.rows, self.cols], grid);
        }
    }

    /// Adds the memory of a piece that is one row.
    #[inline]
    fn ask(&self, data: *const u8, ahead: &mut Ahead) {
        if self.rows == 1 {
            let back = if self.col_stride < 0 { (self.cols - 1) as isize * self.col_stride } else { 0 };
            ahead.add(data.wrapping_offset(self.offset + back), self.col_stride.unsigned_abs());
        }
    }
}

/// A piece's place in a tile.
#[inline]
fn tile_grid<P>(start: P, size: usize, piece: Piece) -> Grid<P> {
    Grid { start, row: (piece.cols * size) as isize, col: size as isize }
}

/// Fills a tile with an operand's elements as they are.
///
/// # Safety
/// As [`Source::tile`]; `tile` must be valid for writing the tile.
unsafe fn gather<const N: usize>(
    isa: AnyIsa,
    size: usize,
    data: *const u8,
    place: Place<'_, N>,
    tile: *mut u8,
) {
    place.pieces(|piece| {
        // SAFETY: the caller vouches for the array and the tile.
        unsafe {
            let start = data.offset(piece.offset);
            let source = Grid { start, row: piece.row_stride, col: piece.col_stride };
            let target = tile_grid(tile.add(piece.at * size), size, piece);
            grid::copy(isa, size, [piece.rows, piece.cols], source, target);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{STRIP, TILE, repeating};

    #[test]
    fn lists_go_on_as_if_they_began_again() {
        for len in [0, 1, 3, 10, TILE, STRIP * TILE + 7] {
            for most in [0, 1, 5, 100, usize::MAX] {
                let list = repeating((0..len).collect(), most);
                let more = if len == 0 { 0 } else { most.min(STRIP * TILE) };
                assert_eq!(list.len(), len + more);
                assert!(list.iter().enumerate().all(|(i, &entry)| entry == i % len));
            }
        }
    }
}
