//! A tile with options: class indices, ignored targets, weights or gammas by class, labels other than 0 and 1,
//! probabilities.

use super::elements::{Inputs, Job, Labels, SIGNS, Soft};
use super::weights::{self, Fetched};
use super::{Sums, operand};
use crate::kernel::elementwise::Operands;
use crate::kernel::mixed::Mixed;
use crate::kernel::prepare::{are_hard, clear, mark, one_hot};
use crate::kernel::rows::RowReal;
use crate::kernel::soft::SoftOperands;
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Memory that the inputs of a tile may need.
struct Scratch<R> {
    logits: Buffer<R>,
    labels: Buffer<R>,
    weights: [[Buffer<R>; 2]; 3],
    gammas: [Buffer<R>; 2],
    factor: Buffer<R>,
    samples: [Buffer<f64>; 1],
    pair: [Buffer<f64>; 2],
    raw: Raw,
}

impl<R> Scratch<R> {
    fn new() -> Self {
        Self {
            logits: Buffer::new(),
            labels: Buffer::new(),
            weights: [const { [const { Buffer::new() }; 2] }; 3],
            gammas: [const { Buffer::new() }; 2],
            factor: Buffer::new(),
            samples: [Buffer::new()],
            pair: [const { Buffer::new() }; 2],
            raw: Raw::new(),
        }
    }
}

/// Runs a tile; `written` is where losses, gradient and Hessian go, each a tile long.
///
/// # Safety
/// As [`super::elements::run`], for the elements of the tile.
#[inline(never)]
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    job: &Job<R>,
    inputs: &Inputs<R>,
    tile: Tile,
    written: [*mut R; 3],
    sums: &mut Sums,
) {
    let mut scratch = Scratch::new();
    let mut ignored = [false; TILE];
    let work = Work { isa, job, inputs, tile };
    // SAFETY: handed through from the caller; all inputs are read before an output is written.
    unsafe {
        let labels = work.labels(&inputs.labels, &mut scratch);
        if let Some((targets, index)) = &inputs.ignored {
            let targets = work.fetch(targets, operand::TARGETS, &mut scratch.pair[0], &mut scratch.raw);
            mark(isa, targets, *index, &mut ignored);
        }
        let factor = scratch.factor.as_mut_ptr();
        match job.soft.as_ref().filter(|soft| soft.always || !are_hard(isa, labels)) {
            Some(soft) => work.soft(soft, labels, written, &mut scratch),
            None => (job.kernel)(isa, &job.constants, &work.hard_operands(labels, written, &mut scratch)),
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

    /// The labels of the tile, in the scratch memory or where they lie.
    ///
    /// # Safety
    /// As [`run`]. The slice must not outlive the scratch memory's labels.
    unsafe fn labels<'l>(&self, labels: &Labels<R>, scratch: &mut Scratch<R>) -> &'l [R] {
        let Scratch { labels: buffer, pair: [first, second], raw, .. } = scratch;
        let buffer_start = buffer.as_mut_ptr();
        // SAFETY: handed through from the caller.
        unsafe {
            match labels {
                Labels::Dense(source) => {
                    let labels = self.fetch(source, operand::TARGETS, buffer, raw);
                    std::slice::from_raw_parts(labels.as_ptr(), self.tile.len)
                }
                Labels::Indices { targets, classes } => {
                    let targets = self.fetch(targets, operand::TARGETS, first, raw);
                    let classes = self.fetch(classes, operand::CLASSES, second, raw);
                    one_hot(self.isa, targets, classes, buffer_start);
                    std::slice::from_raw_parts(buffer_start, self.tile.len)
                }
            }
        }
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
            *pointer = unsafe { self.fetch(source, operand::CLASSES, buffer, raw) }.as_ptr();
        }
        pointers
    }

    /// The sample weights, 1 where there are none.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn samples<'s>(&self, buffer: &'s mut [Buffer<f64>; 1], raw: &mut Raw) -> Fetched<'s, 1> {
        let source = self.inputs.samples.unwrap_or(Source::Constant(1.0));
        let place = Place { plan: &self.job.plan, operand: operand::SAMPLES, tile: self.tile };
        // SAFETY: handed through from the caller.
        unsafe { weights::fetch(self.isa, &[source], place, buffer, raw) }
    }

    /// The operands of the kernel for labels of 0 and 1.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn hard_operands(
        &self,
        labels: &[R],
        [value, grad, hess]: [*mut R; 3],
        scratch: &mut Scratch<R>,
    ) -> Operands<R> {
        let Scratch { logits, weights: tiles, gammas, samples, pair, raw, .. } = scratch;
        let Self { isa, job, inputs, tile } = *self;
        let place = Place { plan: &job.plan, operand: operand::CLASSES, tile };
        let mut factors = [std::ptr::null(); 3];
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            if job.weighted {
                let samples = self.samples(samples, raw);
                for (i, [buffer, _]) in tiles.iter_mut().enumerate().filter(|&(i, _)| job.computed()[i]) {
                    let classes = weights::fetch(isa, &inputs.weights[i], place, pair, raw);
                    factors[i] = weights::of_labels(isa, labels, samples, classes, SIGNS[i], buffer);
                }
            }
            Operands {
                len: tile.len,
                logits: self.fetch(&inputs.logits, operand::LOGITS, logits, raw).as_ptr(),
                targets: labels.as_ptr(),
                weights: factors,
                gammas: self.gammas(gammas, raw),
                value,
                grad,
                hess,
            }
        }
    }

    /// Runs the kernel for any labels.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn soft(&self, soft: &Soft<R>, labels: &[R], written: [*mut R; 3], scratch: &mut Scratch<R>) {
        let Self { isa, job, inputs, tile } = *self;
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            let mut operands = SoftOperands {
                len: tile.len,
                logits: self
                    .fetch(&inputs.logits, operand::LOGITS, &mut scratch.logits, &mut scratch.raw)
                    .as_ptr(),
                targets: labels.as_ptr(),
                weights: self.soft_weights(scratch),
                gammas: self.gammas(&mut scratch.gammas, &mut scratch.raw),
                value: std::ptr::null_mut(),
                grad: std::ptr::null_mut(),
                hess: std::ptr::null_mut(),
                factor: if job.sum_factors { scratch.factor.as_mut_ptr() } else { std::ptr::null_mut() },
            };
            let outputs = [&mut operands.value, &mut operands.grad, &mut operands.hess];
            for ((output, written), computed) in outputs.into_iter().zip(written).zip(job.computed()) {
                *output = if computed { written } else { std::ptr::null_mut() };
            }
            let mut constants = soft.constants;
            if let Some(weights) = self.weights_of_all() {
                constants.weights = weights.map(|pair| pair.map(|weight| R::from_weight(weight + 0.0)));
            }
            if soft.always {
                return (soft.kernel)(isa, &constants, &operands);
            }
            let mut hard_scratch = Scratch::new();
            let hard = self.hard_operands(labels, written, &mut hard_scratch);
            let mixed = Mixed {
                hard: job.kernel,
                hard_constants: job.constants,
                soft: soft.kernel,
                soft_constants: constants,
            };
            mixed.run(isa, &hard, &operands);
        }
    }

    /// What multiplies the results of negatives and of positives, if it is the same for all elements.
    fn weights_of_all(&self) -> Option<[[f64; 2]; 3]> {
        let sample = match self.inputs.samples {
            None => 1.0,
            Some(Source::Constant(sample)) => sample,
            Some(Source::Array { .. }) => return None,
        };
        let mut numbers = [[0.0; 2]; 3];
        for (number, source) in numbers.iter_mut().flatten().zip(self.inputs.weights.iter().flatten()) {
            let Source::Constant(weight) = *source else { return None };
            *number = sample * weight;
        }
        Some(numbers)
    }

    /// What multiplies the results of negatives and of positives of each element; null if that is the same for
    /// all.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn soft_weights(&self, scratch: &mut Scratch<R>) -> [[*const R; 2]; 3] {
        let mut pointers = [[std::ptr::null(); 2]; 3];
        if self.weights_of_all().is_some() {
            return pointers;
        }
        let Scratch { weights: tiles, samples, raw, .. } = scratch;
        let Self { isa, job, inputs, tile } = *self;
        let place = Place { plan: &job.plan, operand: operand::CLASSES, tile };
        let mut buffer = [Buffer::new()];
        // SAFETY: handed through from the caller; every buffer holds a tile.
        unsafe {
            let samples = self.samples(samples, raw);
            for (i, tiles) in tiles.iter_mut().enumerate().filter(|&(i, _)| job.computed()[i]) {
                for ((pointer, products), source) in pointers[i].iter_mut().zip(tiles).zip(&inputs.weights[i])
                {
                    let weights = weights::fetch(isa, &[*source], place, &mut buffer, raw);
                    *pointer = weights::products(isa, tile.len, samples, weights, products);
                }
            }
        }
        pointers
    }
}
