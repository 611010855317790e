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
            // SAFETY: handed through from the caller; a tile has `len` elements.
            let targets = unsafe {
                let place = Place { plan, operand: 0, tile };
                let start = shared.source().tile(isa, place, &mut buffer, &mut raw);
                std::slice::from_raw_parts(start, tile.len)
            };
            if !isa.vectorize(AllValid { targets, valid }) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
