//! Class indices counted: the weight of every class.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tally::Targets;
use super::{BLOCKS, Block, Cut, JobPlan, Stop, in_blocks, operand};
use crate::error::Error;
use crate::kernel::tally::{BEHIND, Indices, largest, places};
use crate::kernel::tile::{Buffer, Place, Raw, TILE};
use crate::simd::AnyIsa;

/// The weight of each class among class indices.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// By class.
    pub classes: Vec<f64>,
    /// Of those that stand for no class.
    pub apart: f64,
}

/// The largest class index that counts, if there is any. All must be indices, ignored, or the background.
///
/// # Errors
/// If it was stopped.
///
/// # Safety
/// As [`labels`](super::tally::labels).
pub unsafe fn largest_index(
    isa: AnyIsa,
    plan: &JobPlan,
    targets: &Targets,
    background: Option<f64>,
    go_on: impl FnMut() -> bool,
) -> Result<Option<usize>, Stop> {
    let mut most = -1.0_f64;
    let work = |block: Block| {
        let (mut buffer, mut raw, mut own) = (Buffer::new(), Raw::new(), -1.0_f64);
        for tile in block.tiles(plan) {
            let place = Place { plan, operand: operand::TARGETS, tile };
            // SAFETY: handed through from the caller.
            let indices = unsafe { targets.indices(isa, place, background, &mut buffer, &mut raw) };
            own = own.max(isa.vectorize(largest(indices)));
        }
        Ok(own)
    };
    in_blocks(plan, BLOCKS, go_on, work, |own| most = most.max(own))?;
    Ok((most >= 0.0).then_some(most as usize))
}

/// The weight of each of so many classes; nothing if a target is no index below that, nor ignored, nor the background.
///
/// # Errors
/// If it was stopped, or there is no memory.
///
/// # Safety
/// As [`labels`](super::tally::labels).
pub unsafe fn histogram(
    isa: AnyIsa,
    plan: &JobPlan,
    targets: &Targets,
    background: Option<f64>,
    classes: usize,
    go_on: impl FnMut() -> bool,
) -> Result<Option<Histogram>, Stop> {
    /// Targets of a block for each class, so that lists are short beside what they count.
    const LEAST: usize = 64;
    let tiles = BLOCKS.tiles.max(LEAST * classes / TILE);
    let cut = Cut { tiles, each: 1, between_looks: BLOCKS.tiles * BLOCKS.between_looks / tiles };
    let mut all = Histogram { classes: zeros(classes).map_err(Stop::Failed)?, apart: 0.0 };
    let valid = AtomicBool::new(true);
    let work = |block: Block| {
        if !valid.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let (mut numbers, mut weights, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
        let (mut counts, mut sums) = (Bins::<u32>::new(0)?, Bins::<f64>::new(0)?);
        match targets.samples {
            None => counts = Bins::new(classes + BEHIND)?,
            Some(_) => sums = Bins::new(classes + BEHIND)?,
        }
        let mut found = [0; TILE];
        for tile in block.tiles(plan) {
            let place = |operand| Place { plan, operand, tile };
            // SAFETY: handed through from the caller; a tile has `len` elements.
            unsafe {
                let at = place(operand::TARGETS);
                let indices = targets.indices(isa, at, background, &mut numbers, &mut raw);
                if !isa.vectorize(places(indices, classes as u32, &mut found)) {
                    valid.store(false, Ordering::Relaxed);
                    return Ok(Vec::new());
                }
                match targets.samples {
                    None => counts.add(&found[..tile.len], |_| 1),
                    Some(samples) => {
                        let weights = samples.tile(isa, place(operand::SAMPLES), &mut weights, &mut raw);
                        let weights = std::slice::from_raw_parts(weights, tile.len);
                        sums.add(&found[..tile.len], |i| weights[i] * targets.scale);
                    }
                }
            }
        }
        match targets.samples {
            None => counts.totals(|count| f64::from(count) * targets.scale),
            Some(_) => sums.totals(|sum| sum),
        }
    };
    in_blocks(plan, cut, go_on, work, |totals: Vec<f64>| {
        all.classes.iter_mut().zip(&totals).for_each(|(sum, part)| *sum += part);
        all.apart += totals.get(classes).unwrap_or(&0.0);
    })?;
    Ok(valid.into_inner().then_some(all))
}

/// So many zeros.
///
/// # Errors
/// If there is no memory.
fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| Error::NO_MEMORY)?;
    list.resize(len, T::default());
    Ok(list)
}

/// Sums of classes. Where these are few, neighbours that are the same class go to different sums: an addition need not wait
/// for the last.
struct Bins<T> {
    sums: Vec<T>,
    apart: usize,
}

impl<T: Copy + Default + AddAssign> Bins<T> {
    /// Sums that are side by side.
    const APART: usize = 4;

    fn new(classes: usize) -> Result<Self, Error> {
        const FEW: usize = 1026;
        let apart = if classes <= FEW { Self::APART } else { 1 };
        Ok(Self { sums: zeros(apart * classes)?, apart })
    }

    fn add(&mut self, classes: &[u32], weight: impl Fn(usize) -> T) {
        if self.apart == 1 {
            for (i, &class) in classes.iter().enumerate() {
                self.sums[class as usize] += weight(i);
            }
            return;
        }
        for (i, &class) in classes.iter().enumerate() {
            self.sums[class as usize * Self::APART + i % Self::APART] += weight(i);
        }
    }

    /// The sum of every class.
    fn totals(&self, number: impl Fn(T) -> f64) -> Result<Vec<f64>, Error> {
        let mut totals = zeros(self.sums.len() / self.apart)?;
        for (total, parts) in totals.iter_mut().zip(self.sums.chunks(self.apart)) {
            *total = parts.iter().map(|part| number(*part)).sum();
        }
        Ok(totals)
    }
}

impl Targets {
    /// The class indices of a tile.
    ///
    /// # Safety
    /// As [`labels`](super::tally::labels). They live no longer than the array and the buffer.
    unsafe fn indices<'s>(
        &self,
        isa: AnyIsa,
        place: Place<'_, { operand::COUNT }>,
        background: Option<f64>,
        buffer: &'s mut Buffer<f64>,
        raw: &mut Raw,
    ) -> Indices<'s> {
        // SAFETY: handed through from the caller; a tile has `len` elements.
        let targets =
            unsafe { std::slice::from_raw_parts(self.numbers.tile(isa, place, buffer, raw), place.tile.len) };
        Indices {
            targets,
            ignored: self.ignored.unwrap_or(f64::NAN),
            ignores_nan: self.ignored.is_some_and(f64::is_nan),
            background: background.unwrap_or(f64::NAN),
        }
    }
}
