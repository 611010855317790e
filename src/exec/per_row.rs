//! Elements of an operand that rows of elements have in common: a sample weight or a class index for a row of classes.

use super::{JobPlan, operand};
use crate::kernel::by_row::BEHIND;
use crate::kernel::tile::{Place, TILE};
use crate::layout::{Plan, Tile};

/// Where they lie.
#[derive(Clone, Debug)]
pub struct PerRow {
    /// Elements of a row: two or more.
    cols: usize,
    /// The operand, a row an element.
    plan: Plan<1>,
}

impl PerRow {
    /// Sample weights, if rows have them in common.
    pub fn samples(plan: &JobPlan) -> Option<Self> {
        Self::new(plan, operand::SAMPLES)
    }

    /// Targets, if rows have them in common.
    pub fn targets(plan: &JobPlan) -> Option<Self> {
        Self::new(plan, operand::TARGETS)
    }

    fn new(plan: &JobPlan, operand: usize) -> Option<Self> {
        plan.heads(operand).filter(|(cols, _)| *cols > 1).map(|(cols, plan)| Self { cols, plan })
    }

    /// Elements of a row.
    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// How many elements need no more than a tile of these, with what may be read behind them: a number of whole tiles.
    #[inline]
    fn reach(&self) -> usize {
        // A row may be cut at both ends. Even rows of two need no more than that for one tile.
        ((TILE - 2 - BEHIND).saturating_mul(self.cols) / TILE).max(1).saturating_mul(TILE)
    }

    /// The place of those that a tile needs, and how many elements of its first row lie before the tile. The tile must
    /// be one of the plan that these were made of.
    #[inline]
    pub(super) fn place(&self, plan: &JobPlan, tile: Tile) -> (Place<'_, 1>, usize) {
        let start = plan.start(tile);
        let (number, skip) = (start / self.cols, start % self.cols);
        let len = (skip + tile.len).div_ceil(self.cols);
        (Place { plan: &self.plan, operand: 0, tile: Tile { number, len } }, skip)
    }
}

/// Cuts tiles that follow each other into parts that need no more than a tile of an operand, of which rows may have
/// elements in common: those, each with the number of the elements before it.
#[inline]
pub(super) fn parts(
    per_row: Option<&PerRow>,
    Tile { number, len }: Tile,
) -> impl Iterator<Item = (usize, Tile)> {
    let reach = per_row.map_or(TILE, PerRow::reach);
    (0..len)
        .step_by(reach)
        .map(move |start| (start, Tile { number: number + start / TILE, len: reach.min(len - start) }))
}
