//! A tile with options: class indices, ignored targets, weights or gammas by class, labels other than 0 and 1,
//! probabilities.

use super::elements::{Hard, Inputs, Job, Soft};
use super::weights;
use super::{Sums, operand};
use crate::kernel::elementwise::Operands;
use crate::kernel::mixed::Mixed;
use crate::kernel::prepare::{Kinds, clear, mark};
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{SoftConstants, SoftOperands};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Memory that the inputs of a tile may need.
struct Scratch<R> {
    logits: Buffer<R>,
    weights: weights::Memory<R>,
    gammas: [Buffer<R>; 2],
    factor: Buffer<R>,
    raw: Raw,
}

impl<R> Scratch<R> {
    fn new() -> Self {
        Self {
            logits: Buffer::new(),
            weights: weights::Memory::new(),
            gammas: [const { Buffer::new() }; 2],
            factor: Buffer::new(),
            raw: Raw::new(),
        }
    }
}

/// Runs a tile; `written` is where losses, gradient and Hessian go, each a tile long. Labels and their kinds are made
/// unless they are known.
///
/// # Safety
/// As [`super::elements::run`], for the elements of the tile.
#[inline(never)]
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    job: &Job<R>,
    inputs: &Inputs<R>,
    tile: Tile,
    known: Option<(&[R], Kinds)>,
    written: [*mut R; 3],
    sums: &mut Sums,
) {
    let (mut scratch, mut own_labels) = (Scratch::new(), Buffer::new());
    let mut ignored = [false; TILE];
    let work = Work { isa, job, inputs, tile };
    // SAFETY: handed through from the caller; all inputs are read before an output is written.
    unsafe {
        let (labels, kinds) = match known {
            Some(known) => known,
            None => {
                let heads = job.heads_of_targets.as_ref();
                let (memory, raw) = (own_labels.as_mut_ptr(), scratch.raw.as_mut_ptr());
                let labels = inputs.labels.strip(isa, (&job.plan, tile), heads, memory, raw);
                let labels = std::slice::from_raw_parts(labels, tile.len);
                (labels, job.kinds(isa, labels))
            }
        };
        if let Some((targets, index)) = &inputs.ignored {
            let mut buffer = Buffer::new();
            let targets = work.fetch(targets, operand::TARGETS, &mut buffer, &mut scratch.raw);
            mark(isa, targets, *index, &mut ignored);
        }
        let factor = scratch.factor.as_mut_ptr();
        match job.soft.as_ref().filter(|_| kinds != Kinds::Hard) {
            Some(soft) => work.soft(soft, labels, kinds, written, &mut scratch),
            None => work.hard(labels, written, &mut scratch),
        }
        if inputs.ignored.is_some() {
            let [value, grad, hess] = job.computed();
            let outputs = written.into_iter().zip([value, grad, hess]).chain([(factor, job.sum_factors)]);
            for (output, _) in outputs.filter(|&(_, computed)| computed) {
                clear(isa, std::slice::from_raw_parts_mut(output, tile.len), &ignored);
            }
        }
        if job.sum_factors {
            let factor = std::slice::from_raw_parts(factor, tile.len);
            sums.factor.add(isa, factor);
        }
    }
}

/// What is done, and where.
struct Work<'a, R> {
    isa: AnyIsa,
    job: &'a Job<R>,
    inputs: &'a Inputs<R>,
    tile: Tile,
}

impl<R: RowReal> Work<'_, R> {
    /// An operand's tile.
    ///
    /// # Safety
    /// As [`run`]. The slice lives no longer than the array and the buffer.
    unsafe fn fetch<'s, T: Real>(
        &self,
        source: &Source<T>,
        operand: usize,
        buffer: &'s mut Buffer<T>,
        raw: &mut Raw,
    ) -> &'s [T] {
        let place = Place { plan: &self.job.plan, operand, tile: self.tile };
        // SAFETY: handed through from the caller; a tile has `len` elements.
        unsafe { std::slice::from_raw_parts(source.tile(self.isa, place, buffer, raw), self.tile.len) }
    }

    /// The gammas of the tile's elements, or nothing if they are all the same.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn gammas(&self, buffers: &mut [Buffer<R>; 2], raw: &mut Raw) -> [*const R; 2] {
        let mut pointers = [std::ptr::null(); 2];
        for ((pointer, source), buffer) in
            pointers.iter_mut().zip(self.inputs.gammas.iter().flatten()).zip(buffers)
        {
            // SAFETY: handed through from the caller.
            *pointer = unsafe { self.fetch(source, operand::LISTS, buffer, raw) }.as_ptr();
        }
        pointers
    }

    /// Runs the kernel for labels of 0 and 1.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn hard(&self, labels: &[R], written: [*mut R; 3], scratch: &mut Scratch<R>) {
        let Self { isa, job, inputs, tile } = *self;
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            let Scratch { logits, gammas, weights: memory, raw, .. } = scratch;
            let hard = job.hard(inputs.weights.of_tile(isa, job.weigh(tile, true), memory.room(), raw));
            let operands = self.hard_operands(&hard, labels, written, (logits, gammas, raw));
            (hard.kernel)(isa, &hard.constants, &operands);
        }
    }

    /// The operands of the kernel for labels of 0 and 1.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn hard_operands(
        &self,
        hard: &Hard<R>,
        labels: &[R],
        [value, grad, hess]: [*mut R; 3],
        (logits, gammas, raw): (&mut Buffer<R>, &mut [Buffer<R>; 2], &mut Raw),
    ) -> Operands<R> {
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            Operands {
                len: self.tile.len,
                logits: self.fetch(&self.inputs.logits, operand::LOGITS, logits, raw).as_ptr(),
                targets: labels.as_ptr(),
                weights: hard.weights,
                samples: hard.samples,
                gammas: self.gammas(gammas, raw),
                value,
                grad,
                hess,
                ahead: std::ptr::null(),
                stops: false,
                streams: false,
            }
        }
    }

    /// Runs the kernel for any labels, or both.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn soft(
        &self,
        soft: &Soft<R>,
        labels: &[R],
        kinds: Kinds,
        written: [*mut R; 3],
        scratch: &mut Scratch<R>,
    ) {
        let Self { isa, job, inputs, tile } = *self;
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            let Scratch { logits, gammas, weights: memory, factor, raw } = scratch;
            let hard = job.hard(inputs.weights.of_tile(isa, job.weigh(tile, false), memory.room(), raw));
            let constants = SoftConstants { weights: hard.constants.weights, ..soft.constants };
            let hard_operands = self.hard_operands(&hard, labels, written, (logits, gammas, raw));
            let output = |i: usize| if job.computed()[i] { written[i] } else { std::ptr::null_mut() };
            let operands = SoftOperands {
                len: tile.len,
                logits: hard_operands.logits,
                targets: labels.as_ptr(),
                weights: hard.weights,
                gammas: hard_operands.gammas,
                value: output(0),
                grad: output(1),
                hess: output(2),
                factor: if job.sum_factors { factor.as_mut_ptr() } else { std::ptr::null_mut() },
            };
            if kinds == Kinds::Soft {
                return (soft.kernel)(isa, &constants, &operands);
            }
            let mixed = Mixed {
                hard: hard.kernel,
                hard_constants: hard.constants,
                soft: soft.kernel,
                soft_constants: constants,
            };
            mixed.run(isa, &hard_operands, &operands);
        }
    }
}
