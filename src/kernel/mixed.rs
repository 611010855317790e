//! Tiles whose labels are some hard, some soft.
//!
//! All elements go through the kernel for hard labels; those that it is not for are taken out, go through the other
//! kernel together, and are put back. So hard labels get the bits that they get anywhere, and a few soft ones among
//! many hard ones cost little: what an element comes to never depends on its neighbours.

use crate::kernel::elementwise::TileKernel;
use crate::kernel::labels::is_hard;
use crate::kernel::operands::{Constants, INPUTS, OUTPUTS, Operands};
use crate::kernel::soft::{Options, SoftKernel};
use crate::kernel::tile::{Buffer, TILE};
use crate::real::Real;
use crate::simd::AnyIsa;

/// Both kernels of a call on logits whose labels are not smoothed, and which is not divided by its modulating factors.
#[derive(Clone, Copy, Debug)]
pub struct Mixed<'a, R> {
    /// The kernel for hard labels.
    pub hard: TileKernel<R>,
    /// The kernel for the others.
    pub soft: SoftKernel<R>,
    /// What the latter needs to know.
    pub options: &'a Options<R>,
    /// What both need to know.
    pub constants: &'a Constants<R>,
}

impl<R: Real> Mixed<'_, R> {
    /// Runs a tile.
    ///
    /// # Safety
    /// As [`SoftKernel`] and [`TileKernel`]; the operands have no factor and do not stream.
    pub unsafe fn run(&self, isa: AnyIsa, operands: &Operands<R>) {
        let mut places = [0_u16; TILE];
        let mut count = 0;
        for at in 0..operands.len.min(TILE) {
            // Written always, counted only where it is one.
            places[count] = at as u16;
            // SAFETY: handed through from the caller.
            let label = unsafe { operands.targets.add(at).read() };
            count += usize::from(!is_hard(label, self.constants.ignored));
        }
        let places = &places[..count];
        let mut memory = [const { Buffer::<R>::new() }; INPUTS + OUTPUTS];
        let mut rows = memory.iter_mut().map(Buffer::as_mut_ptr);
        let (mut inputs, mut outputs) = (operands.inputs(), operands.outputs());
        // SAFETY: handed through from the caller; places are below `len`, and a buffer holds a tile. The soft elements'
        // inputs are read before anything is written, which may be where they stand.
        unsafe {
            for (input, row) in inputs.iter_mut().zip(&mut rows).filter(|(input, _)| !input.is_null()) {
                for (i, &place) in places.iter().enumerate() {
                    row.add(i).write(input.add(usize::from(place)).read());
                }
                *input = row.cast_const();
            }
            for (output, row) in outputs.iter_mut().zip(&mut rows).filter(|(output, _)| !output.is_null()) {
                *output = row;
            }
            let taken = Operands { len: count, ahead: std::ptr::null(), ..operands.with(inputs, outputs) };
            (self.hard)(isa, self.constants, &Operands { stops: false, ..*operands });
            (self.soft)(isa, self.constants, self.options, &taken);
            for (row, output) in outputs.into_iter().zip(operands.outputs()) {
                if !output.is_null() {
                    for (i, &place) in places.iter().enumerate() {
                        output.add(usize::from(place)).write(row.add(i).read());
                    }
                }
            }
        }
    }
}
