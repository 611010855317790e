//! Memory for a strip: tiles that follow each other and go through a kernel together, which costs less than a call of
//! the kernel for each.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use crate::error::Error;
use crate::kernel::tile::{STRIP, TILE};

/// Memory for one operand of a strip, of any type.
#[repr(align(64))]
struct Row(#[expect(dead_code, reason = "only its address is of interest")] MaybeUninit<[u64; STRIP * TILE]>);

thread_local! {
    /// What a thread keeps for strips: too much for a small stack.
    static MEMORY: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

/// Operands that a strip may need memory for.
const ROWS: usize = 16;

/// Where the operands of a strip go that do not lie in arrays as kernels take them. Each has room for a strip.
#[derive(Clone, Copy)]
pub(super) struct Strips<R> {
    /// Logits.
    pub logits: *mut R,
    /// Labels.
    pub labels: *mut R,
    /// Losses, gradient and Hessian.
    pub outputs: [*mut R; 3],
    /// Modulating factors.
    pub factor: *mut R,
    /// What multiplies losses, gradient and Hessian of negatives and of positives.
    pub weights: [[*mut R; 2]; 3],
    /// Sample weights.
    pub samples: *mut R,
    /// Gammas in two parts.
    pub gammas: [*mut R; 2],
    /// Elements of the largest type, before they are converted or after.
    pub raw: *mut u64,
}

impl<R> Strips<R> {
    /// Does work with the memory of this thread.
    ///
    /// # Errors
    /// [`Error::Memory`] if a thread cannot have it.
    pub(super) fn with<T>(work: impl FnOnce(&Self) -> T) -> Result<T, Error> {
        MEMORY.with_borrow_mut(|memory| {
            memory.try_reserve_exact(ROWS).map_err(|_| Error::NO_MEMORY)?;
            let start = memory.as_mut_ptr();
            let row = |i: usize| start.wrapping_add(i).cast::<R>();
            Ok(work(&Self {
                logits: row(0),
                labels: row(1),
                outputs: [row(2), row(3), row(4)],
                factor: row(5),
                weights: [6, 8, 10].map(|i| [row(i), row(i + 1)]),
                samples: row(12),
                gammas: [row(13), row(14)],
                raw: row(15).cast(),
            }))
        })
    }
}
