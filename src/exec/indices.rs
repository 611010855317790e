//! Class indices that are none: found before anything is written.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{BLOCKS, Keeping, Stop, Sums, over_blocks};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Plan;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Which targets are class indices, or stand for none.
#[derive(Clone, Copy, Debug)]
pub struct Valid {
    /// Indices are whole numbers from 0 to below this.
    pub classes: f64,
    /// Two more targets; NaN for none.
    pub others: [f64; 2],
    /// Whether NaN is one, too.
    pub nan: bool,
}

impl Valid {
    /// Indices of so many classes, and two more targets if there are any.
    pub fn new(classes: usize, others: [Option<f64>; 2]) -> Self {
        let nan = others.iter().flatten().any(|other| other.is_nan());
        Self { classes: classes as f64, others: others.map(|other| other.unwrap_or(f64::NAN)), nan }
    }

    /// Whether a target is one of these.
    #[inline(always)]
    pub fn has(&self, target: f64) -> bool {
        let [first, second] = self.others;
        let index = (target >= 0.0) & (target < self.classes) & (target.trunc() == target);
        index | (target == first) | (target == second) | (self.nan & target.is_nan())
    }
}

/// Whether all targets are valid.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// The array must be readable wherever the plan says that it has elements. No other thread may write to it
/// meanwhile.
pub unsafe fn all_valid(
    isa: AnyIsa,
    plan: &Plan<1>,
    targets: &Source<f64>,
    valid: Valid,
    go_on: impl FnMut() -> bool,
) -> Result<bool, Stop> {
    /// A pointer that blocks may share.
    struct Shared<'a>(&'a Source<f64>);
    // SAFETY: blocks only read.
    unsafe impl Sync for Shared<'_> {}
    impl Shared<'_> {
        fn source(&self) -> &Source<f64> {
            self.0
        }
    }
    let shared = Shared(targets);
    let all = AtomicBool::new(true);
    over_blocks(plan, BLOCKS, Keeping::Rounded, go_on, |block| {
        if !all.load(Ordering::Relaxed) {
            return Ok(Sums::new(Keeping::Rounded));
        }
        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
        for tile in block.tiles(plan) {
            let (source, place) = (shared.source(), Place { plan, operand: 0, tile });
            // SAFETY: handed through from the caller; a tile has `len` elements.
            let valid = unsafe {
                if valid.classes > 0.0
                    && let Some(start) = source.own_indices(place)
                {
                    isa.vectorize(AllWithin { targets: std::slice::from_raw_parts(start, tile.len), valid })
                } else {
                    let start = source.tile(isa, place, &mut buffer, &mut raw);
                    isa.vectorize(AllValid { targets: std::slice::from_raw_parts(start, tile.len), valid })
                }
            };
            if !valid {
                all.store(false, Ordering::Relaxed);
            }
        }
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(all.into_inner())
}

struct AllValid<'a> {
    targets: &'a [f64],
    valid: Valid,
}

impl Kernel for AllValid<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> bool {
        let mut all = true;
        for target in self.targets {
            all &= self.valid.has(*target);
        }
        all
    }
}

/// [`AllValid`] for integers.
struct AllWithin<'a> {
    targets: &'a [i64],
    valid: Valid,
}

impl Kernel for AllWithin<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> bool {
        let (Valid { classes, others: [first, second], .. }, mut all) = (self.valid, true);
        let (classes, first, second) = (classes as i64, integer(first), integer(second));
        for &target in self.targets {
            all &= (target >= 0) & (target < classes) | (target == first) | (target == second);
        }
        all
    }
}

/// A target as an integer; 0, which is a class, for one that no integer is.
fn integer(other: f64) -> i64 {
    let whole = other as i64;
    if whole as f64 == other { whole } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_range_are_valid() {
        for isa in AnyIsa::available() {
            for (others, more) in
                [([Some(-100.0), None], -100), ([Some(3.0), None], 3), ([Some(f64::NAN), Some(-7.5)], 2)]
            {
                let valid = Valid::new(3, others);
                let all = |targets: &[i64]| isa.vectorize(AllWithin { targets, valid });
                assert!(all(&[]) && all(&[0, 1, 2, more, 2, 0, 1]));
                for wrong in [4, -1, i64::MIN, i64::MAX, 1 << 32] {
                    assert!(!all(&[0, 1, 2, 2, 1, 0, 1, wrong]) && !all(&[wrong, 1]));
                }
            }
        }
    }

    #[test]
    fn whole_numbers_in_range_are_valid() {
        let valid = Valid::new(3, [Some(-100.0), None]);
        assert!([0.0, 2.0, -0.0, -100.0].into_iter().all(|target| valid.has(target)));
        let others = [3.0, -1.0, 0.5, f64::NAN, f64::INFINITY, -100.5];
        assert!(!others.into_iter().any(|target| valid.has(target)));
        let valid = Valid::new(3, [Some(f64::NAN), Some(7.0)]);
        assert!([2.0, 7.0, f64::NAN].into_iter().all(|target| valid.has(target)));
        assert!(!valid.has(3.0));
    }
}
