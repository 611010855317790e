//! Adding up, in an order that depends on element numbers alone.
//!
//! Within a tile, element i goes to partial sum i mod 16, and the sixteen are added as a tree; tiles
//! are added in order, with what each addition rounds away kept beside. How wide the vectors are and
//! which thread did which tile changes nothing.

use crate::kernel::tile::{STRIP, TILE};
use crate::real::Real;
use crate::simd::{Isa, Kernel};

const PARTIAL_SUMS: usize = 16;

/// Sixteen sums side by side, then their tree.
struct PartialSums([f64; PARTIAL_SUMS]);

impl PartialSums {
    #[inline(always)]
    fn tree(self) -> f64 {
        let Self(mut sums) = self;
        let mut width = PARTIAL_SUMS / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        sums[0]
    }
}

/// The sum of a tile.
pub struct TileSum<'a, R>(pub &'a [R]);

impl<R: Real> Kernel for TileSum<'_, R> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> f64 {
        let (rows, rest) = self.0.as_chunks::<PARTIAL_SUMS>();
        let mut sums = PartialSums([0.0; PARTIAL_SUMS]);
        for row in rows {
            for (sum, value) in sums.0.iter_mut().zip(row) {
                *sum += value.to_f64();
            }
        }
        for (sum, value) in sums.0.iter_mut().zip(rest) {
            *sum += value.to_f64();
        }
        sums.tree()
    }
}

/// Tiles that are added up side by side, so that one addition need not wait for the last.
pub const SIDE_BY_SIDE: usize = STRIP;

/// The sums of full tiles: of each what [`TileSum`] makes of it.
pub struct TileSums<'a, R>(pub &'a [[R; TILE]; SIDE_BY_SIDE]);

impl<R: Real> Kernel for TileSums<'_, R> {
    type Output = [f64; SIDE_BY_SIDE];

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> [f64; SIDE_BY_SIDE] {
        let mut sums = [[0.0; PARTIAL_SUMS]; SIDE_BY_SIDE];
        for row in 0..TILE / PARTIAL_SUMS {
            for (sums, tile) in sums.iter_mut().zip(self.0) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum += tile[row * PARTIAL_SUMS + lane].to_f64();
                }
            }
        }
        let mut trees = [0.0; SIDE_BY_SIDE];
        for (tree, sums) in trees.iter_mut().zip(sums) {
            *tree = PartialSums(sums).tree();
        }
        trees
    }
}

/// A running sum that keeps what its additions round away (Neumaier 1974).
#[derive(Clone, Copy, Debug, Default)]
pub struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    /// Adds a number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
    }

    /// Adds another running sum.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum, rounded.
    pub fn value(self) -> f64 {
        // Beside an infinite sum, what was lost is NaN.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    #[test]
    fn sums_have_the_same_bits_on_every_instruction_set() {
        let values: Vec<f32> = (0..500).map(|i| 1.0 / (1.0 + i as f32)).collect();
        for len in 0..values.len() {
            let sums: Vec<u64> = AnyIsa::available()
                .into_iter()
                .map(|isa| isa.vectorize(TileSum(&values[..len])).to_bits())
                .collect();
            assert!(sums.iter().all(|&bits| bits == sums[0]), "{len}: {sums:x?}");
        }
    }

    #[test]
    fn tiles_side_by_side_have_the_sums_that_they_have_alone() {
        let tiles: [[f32; TILE]; SIDE_BY_SIDE] = std::array::from_fn(|tile| {
            std::array::from_fn(|i| 1.0 / (1.0 + (i * SIDE_BY_SIDE + tile) as f32))
        });
        for isa in AnyIsa::available() {
            let alone = tiles.each_ref().map(|tile| isa.vectorize(TileSum(tile)).to_bits());
            assert_eq!(isa.vectorize(TileSums(&tiles)).map(f64::to_bits), alone, "{}", isa.name());
        }
    }

    #[test]
    fn a_total_keeps_what_rounding_loses() {
        let mut total = Total::default();
        for x in [1e100, 1.0, -1e100] {
            total.add(x);
        }
        assert_eq!(total.value(), 1.0);
        total.add(f64::INFINITY);
        assert_eq!(total.value(), f64::INFINITY);
    }
}
