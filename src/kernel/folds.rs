//! Folds of a tile: what the first loop over it leaves for the second.

use std::mem::MaybeUninit;

use crate::kernel::tile::TILE;
use crate::loss::focal::{FOLD, Fold, Scales};
use crate::simd::Vector;

/// Elements that there is room for: a tile, and a group of lanes before or behind it.
pub const ROOM: usize = TILE + 64;

/// Room for the folds of a tile's elements.
#[repr(align(64))]
pub struct Folds<R>(MaybeUninit<[[R; ROOM]; FOLD]>);

impl<R: Scales> Folds<R> {
    /// Uninitialised.
    #[inline(always)]
    pub const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Puts down those of a group of lanes.
    ///
    /// # Safety
    /// `at + LANES <= ROOM`.
    #[inline(always)]
    pub unsafe fn put<V: Vector<Real = R>>(&mut self, at: usize, fold: Fold<V>) {
        // SAFETY: the caller vouches for the place in each row.
        unsafe { fold.store(self.0.as_mut_ptr().cast::<R>().add(at), ROOM) }
    }

    /// Takes them up again.
    ///
    /// # Safety
    /// They must have been put down.
    #[inline(always)]
    pub unsafe fn get<V: Vector<Real = R>>(&self, isa: V::Isa, at: usize) -> Fold<V> {
        // SAFETY: handed through from the caller.
        unsafe { Fold::load(isa, self.0.as_ptr().cast::<R>().add(at), ROOM) }
    }
}
