//! Labels of a tile, counted or weighed.

use crate::kernel::tile::TILE;
use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// What the labels of a tile weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// The sum of y times the weight.
    pub ones: f64,
    /// The sum of 1 - y times the weight.
    pub zeros: f64,
    /// Whether some are neither 0 nor 1.
    pub soft: bool,
    /// Whether some are outside [0, 1].
    pub outside: bool,
}

/// How many labels are 1, and how many 0.
pub fn count_labels<R: Real>(labels: &[R]) -> impl Kernel<Output = [usize; 2]> {
    struct Count<'a, R>(&'a [R]);
    impl<R: Real> Kernel for Count<'_, R> {
        type Output = [usize; 2];
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> [usize; 2] {
            let (mut ones, mut zeros) = (0_u32, 0_u32);
            for y in self.0 {
                ones += u32::from(*y == R::ONE);
                zeros += u32::from(*y == R::ZERO);
            }
            [ones as usize, zeros as usize]
        }
    }
    Count(labels)
}

/// How many of at most [`TILE`] bytes are 1, and how many 0.
pub fn count_bytes(labels: &[u8]) -> impl Kernel<Output = [usize; 2]> {
    struct Count<'a>(&'a [u8]);
    impl Kernel for Count<'_> {
        type Output = [usize; 2];
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> [usize; 2] {
            // Runs of no more than a byte can count.
            let (mut ones, mut zeros) = (0, 0);
            for run in self.0.chunks(128) {
                let (mut one, mut zero) = (0_u8, 0_u8);
                for y in run {
                    one += u8::from(*y == 1);
                    zero += u8::from(*y == 0);
                }
                ones += usize::from(one);
                zeros += usize::from(zero);
            }
            [ones, zeros]
        }
    }
    Count(labels)
}

/// Sums side by side: their order depends on no instruction set.
const SUMS: usize = 8;

/// The weights of labels, each times `scale`, but for those that are ignored.
pub fn sum_labels<'a>(
    labels: &'a [f64],
    weights: &'a [f64],
    ignored: &'a [bool; TILE],
    scale: f64,
) -> impl Kernel<Output = Counts> {
    struct Weigh<'a>(&'a [f64], &'a [f64], &'a [bool; TILE], f64);
    impl Kernel for Weigh<'_> {
        type Output = Counts;
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> Counts {
            let Self(labels, weights, ignored, scale) = self;
            let (mut ones, mut zeros) = ([0.0; SUMS], [0.0; SUMS]);
            let (mut soft, mut outside) = (false, false);
            for (i, ((y, weight), ignored)) in labels.iter().zip(weights).zip(ignored).enumerate() {
                let (y, weight) = if *ignored { (0.0, 0.0) } else { (*y, weight * scale) };
                ones[i % SUMS] += weight * y;
                zeros[i % SUMS] += weight * (1.0 - y);
                soft |= (y != 0.0) & (y != 1.0);
                outside |= !((0.0..=1.0).contains(&y) | y.is_nan());
            }
            Counts { ones: tree(ones), zeros: tree(zeros), soft, outside }
        }
    }
    Weigh(labels, weights, ignored, scale)
}

#[inline(always)]
fn tree([a, b, c, d, e, f, g, h]: [f64; SUMS]) -> f64 {
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// Class indices, and what is none of them: compared as numbers, NaN is never equal.
#[derive(Clone, Copy, Debug)]
pub struct Indices<'a> {
    /// The targets.
    pub targets: &'a [f64],
    /// Those that do not count; NaN for none.
    pub ignored: f64,
    /// Whether NaN does not count.
    pub ignores_nan: bool,
    /// Those that stand for no class; NaN for none.
    pub background: f64,
}

impl Indices<'_> {
    #[inline(always)]
    fn is_ignored(&self, target: f64) -> bool {
        (target == self.ignored) | (self.ignores_nan & target.is_nan())
    }
}

/// The largest class index, -1 if there is none.
pub fn largest<'a>(indices: Indices<'a>) -> impl Kernel<Output = f64> + 'a {
    struct Largest<'a>(Indices<'a>);
    impl Kernel for Largest<'_> {
        type Output = f64;
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> f64 {
            let Self(indices) = self;
            let mut found = [-1.0; SUMS];
            for (i, &target) in indices.targets.iter().enumerate() {
                let counts = !(indices.is_ignored(target) | (target == indices.background));
                let (index, most) = (if counts { target } else { -1.0 }, &mut found[i % SUMS]);
                *most = if index > *most { index } else { *most };
            }
            found.into_iter().fold(-1.0, f64::max)
        }
    }
    Largest(indices)
}

/// Behind the classes: the background, and what does not count.
pub const BEHIND: usize = 2;

/// Writes where in a list of so many classes each target counts: behind them the background, and last what does not. Returns
/// whether all that count are indices below that, or the background.
pub fn places<'a>(
    indices: Indices<'a>,
    classes: u32,
    places: &'a mut [u32; TILE],
) -> impl Kernel<Output = bool> + 'a {
    struct Places<'a>(Indices<'a>, u32, &'a mut [u32; TILE]);
    impl Kernel for Places<'_> {
        type Output = bool;
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> bool {
            let Self(indices, classes, places) = self;
            let (most, mut valid) = (f64::from(classes), true);
            for (place, &target) in places.iter_mut().zip(indices.targets) {
                let class = target as i32;
                let is_index = (f64::from(class) == target) & (target >= 0.0) & (target < most);
                let is_background = target == indices.background;
                let is_ignored = indices.is_ignored(target);
                valid &= is_index | is_background | is_ignored;
                let class = if is_background { classes } else { (class as u32).min(classes + 1) };
                *place = if is_ignored { classes + 1 } else { class };
            }
            valid
        }
    }
    Places(indices, classes, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    #[test]
    fn labels_are_counted_and_weighed() {
        let labels: Vec<f64> = (0..100).map(|i| f64::from(i % 4 == 0)).collect();
        let weights: Vec<f64> = (0..100).map(f64::from).collect();
        let mut ignored = [false; TILE];
        ignored[4] = true;
        for isa in AnyIsa::available() {
            assert_eq!(isa.vectorize(count_labels(&labels)), [25, 75]);
            let bytes: Vec<u8> = (0..TILE).map(|i| [0, 1, 0, 2, 0, 255][i % 6]).collect();
            assert_eq!(isa.vectorize(count_bytes(&bytes)), [86, 256]);
            let counts = isa.vectorize(sum_labels(&labels, &weights, &ignored, 2.0));
            assert_eq!(counts, Counts { ones: 2392.0, zeros: 7500.0, soft: false, outside: false });
            let counts = isa.vectorize(sum_labels(&[0.5, 1.5], &weights[..2], &ignored, 1.0));
            assert!(counts.soft && counts.outside && counts.ones == 1.5);
        }
    }

    #[test]
    fn indices_find_their_places() {
        let targets = [2.0, 7.0, f64::NAN, 0.0, 9.0, 2.0];
        let indices = Indices { targets: &targets, ignored: f64::NAN, ignores_nan: true, background: 9.0 };
        for isa in AnyIsa::available() {
            assert_eq!(isa.vectorize(largest(indices)), 7.0);
            let mut found = [99; TILE];
            assert!(isa.vectorize(places(indices, 8, &mut found)));
            assert_eq!(found[..7], [2, 7, 9, 0, 8, 2, 99]);
            for wrong in [8.0, -1.0, 0.5, 1e30, f64::INFINITY] {
                let targets = [1.0, wrong, 0.0];
                assert!(
                    !isa.vectorize(places(Indices { targets: &targets, ..indices }, 8, &mut found)),
                    "{wrong}"
                );
            }
            let none = Indices { ignores_nan: false, ..indices };
            assert!(!isa.vectorize(places(none, 8, &mut found)));
            assert_eq!(isa.vectorize(largest(Indices { targets: &targets[2..3], ..indices })), -1.0);
        }
    }
}
