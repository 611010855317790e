//! Tiles whose labels are some hard, some soft: they go through both kernels, and each element takes its own. So hard
//! labels get the bits that they get anywhere: what an element comes to never depends on its neighbours.

use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::soft::{SoftConstants, SoftKernel, SoftOperands};
use crate::kernel::tile::Buffer;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// A call on logits with labels of either kind, none smoothed, and not divided by its modulating factors.
#[derive(Clone, Copy, Debug)]
pub struct Mixed<R> {
    /// The kernel for hard labels, with the outputs that the operands have.
    pub hard: TileKernel<R>,
    /// Its constants.
    pub hard_constants: Constants<R>,
    /// The kernel for the others.
    pub soft: SoftKernel<R>,
    /// Its constants.
    pub soft_constants: SoftConstants<R>,
}

impl<R: Real> Mixed<R> {
    /// Runs a tile. Logits, labels and outputs are those of `soft`, with an output for each that the hard
    /// kernel writes; of `hard` only the weights and the gammas are looked at.
    ///
    /// # Safety
    /// As [`SoftKernel`] and [`TileKernel`]; the operands have no factor.
    pub unsafe fn run(&self, isa: AnyIsa, hard: &Operands<R>, soft: &SoftOperands<R>) {
        let SoftOperands { len, logits, targets, value, grad, hess, .. } = *soft;
        let hard = Operands { len, logits, targets, value, grad, hess, ..*hard };
        // SAFETY: handed through from the caller; the rows are a tile long. The outputs are written last:
        // they may be the memory of inputs.
        unsafe {
            let outputs = [value, grad, hess];
            let mut scratch = [const { Buffer::<R>::new() }; 6];
            let rows = scratch.each_mut().map(Buffer::as_mut_ptr);
            let row = |i: usize| if outputs[i % 3].is_null() { outputs[i % 3] } else { rows[i] };
            let [value, grad, hess] = [row(0), row(1), row(2)];
            (self.hard)(isa, &self.hard_constants, &Operands { value, grad, hess, ..hard });
            let [value, grad, hess] = [row(3), row(4), row(5)];
            (self.soft)(isa, &self.soft_constants, &SoftOperands { value, grad, hess, ..*soft });
            let rows = rows.map(|row| row.cast_const());
            let blend = Blend {
                len,
                targets,
                hard: [rows[0], rows[1], rows[2]],
                soft: [rows[3], rows[4], rows[5]],
                outputs,
            };
            isa.vectorize(blend);
        }
    }
}

/// Whether a label is 0 or 1.
#[inline(always)]
fn is_hard<R: Real>(y: R) -> bool {
    y == R::ZERO || y == R::ONE
}

/// Takes hard labels' results from one place, the others' from another.
struct Blend<R> {
    len: usize,
    targets: *const R,
    hard: [*const R; 3],
    soft: [*const R; 3],
    outputs: [*mut R; 3],
}

impl<R: Real> Kernel for Blend<R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for i in 0..self.len {
            // SAFETY: `Mixed::run` hands over operands of `len` elements; rows whose output is null are
            // not read. An element's label is read before its outputs, one of which it may be.
            unsafe {
                let from_hard = is_hard(self.targets.add(i).read());
                for ((output, hard), soft) in self.outputs.iter().zip(self.hard).zip(self.soft) {
                    if !output.is_null() {
                        let source = if from_hard { hard } else { soft };
                        output.add(i).write(source.add(i).read());
                    }
                }
            }
        }
    }
}
