//! What is asked of memory ahead of the work, and where its lines begin.

use super::weighing::Weighing;
use super::writes;
use crate::cache::{LINE, prefetch, prefetch_ahead};
use crate::kernel::operands::Operands;
use crate::kernel::output;

/// Asks for memory ahead of the group of lanes that starts at element `at`.
#[inline(always)]
pub(super) fn prefetch_group<R, const OUTPUTS: u8>(
    run: &Operands<R>,
    at: usize,
    lanes: usize,
    weighing: Weighing,
) {
    let ([value, grad, hess], bytes) = (writes(OUTPUTS), lanes * size_of::<R>());
    let through = !run.streams;
    let operands = [
        (run.logits, true),
        (run.targets, true),
        (run.samples, weighing.samples),
        (run.value.cast_const(), value && through),
        (run.grad.cast_const(), grad && through),
        (run.hess.cast_const(), hess && through),
    ];
    for (operand, used) in operands {
        if used {
            prefetch_ahead(operand.wrapping_add(at).cast(), bytes);
        }
    }
}

/// Asks for the lines in which results that are written past the caches begin and end, where those are not whole
/// lines: ordinary stores that wait for memory would hold up all that follow.
#[inline(always)]
pub(super) fn prefetch_ends<R, const OUTPUTS: u8>(run: &Operands<R>) {
    let [_, grad, hess] = writes(OUTPUTS);
    // Losses beside others do not go past the caches.
    let results = [(run.value, OUTPUTS == output::VALUE), (run.grad, grad), (run.hess, hess)];
    for (result, streams) in results {
        for end in [result, result.wrapping_add(run.len)] {
            if run.streams && streams && !end.addr().is_multiple_of(LINE) {
                prefetch::<false>(end.cast_const().cast());
            }
        }
    }
}

/// Elements before the first cache line of results, if they are written past the caches.
#[inline(always)]
pub(super) fn before_a_line<R, const OUTPUTS: u8>(run: &Operands<R>) -> usize {
    let result = match writes(OUTPUTS) {
        [_, true, _] => run.grad,
        [_, _, true] => run.hess,
        _ => run.value,
    };
    if run.streams { result.addr().wrapping_neg() % LINE / size_of::<R>() } else { 0 }
}
