//! Do two arrays share a byte?
//!
//! An array of strides s over lengths n, of elements of e bytes, covers the addresses
//! start + sum_i s_i x_i + u with 0 <= x_i < n_i and 0 <= u < e. Two arrays meet where two such sums are equal: a
//! linear equation in bounded integers. It is solved by depth-first search from the largest coefficient down,
//! pruned by what the coefficients that are left can still reach and by their greatest common divisor. For strides
//! that nest, as slices of one array do, each step has a few candidates at most; in general the problem is hard (it
//! contains subset sum), so the search gives up after a bounded number of steps.
//!
//! The idea is NumPy's, whose `shares_memory` does the same (numpy/_core/src/common/mem_overlap.c).

/// Steps of the search before it gives up.
const MOST_STEPS: usize = 1 << 16;

/// Where an array lies.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// Address of the first element.
    pub start: usize,
    /// Bytes of an element.
    pub size: usize,
    /// Lengths of the axes.
    pub shape: &'a [isize],
    /// Bytes from an element to the next along each axis.
    pub strides: &'a [isize],
}

impl Extent<'_> {
    /// The axes that matter, as (length, stride).
    fn axes(&self) -> impl Iterator<Item = (isize, isize)> {
        self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|&(len, _)| len > 1)
    }

    /// The first address and the one behind the last.
    fn bounds(&self) -> (i128, i128) {
        let start = self.start as i128;
        if self.shape.contains(&0) {
            return (start, start);
        }
        let (mut low, mut high) = (start, start + self.size as i128);
        for (len, stride) in self.axes() {
            let reach = (len as i128 - 1) * stride as i128;
            low += reach.min(0);
            high += reach.max(0);
        }
        (low, high)
    }

    /// Whether both are the same elements in the same places.
    pub fn is(&self, other: &Self) -> bool {
        self.start == other.start
            && self.size == other.size
            && self.shape == other.shape
            && self.axes().eq(other.axes())
    }
}

/// A term of the equation: a coefficient and the largest factor that it may have.
#[derive(Clone, Copy)]
struct Term {
    coefficient: i128,
    most: i128,
}

/// Whether two arrays may share a byte: false only if it is proven that they do not.
#[inline]
pub fn meet(a: &Extent<'_>, b: &Extent<'_>) -> bool {
    let ((low_a, high_a), (low_b, high_b)) = (a.bounds(), b.bounds());
    low_a.max(low_b) < high_a.min(high_b) && share_an_address(a, low_a, b, high_b)
}

/// The same for arrays whose ranges of addresses meet.
fn share_an_address(a: &Extent<'_>, low_a: i128, b: &Extent<'_>, high_b: i128) -> bool {
    // low_a + sum |s| x + u = low_b + sum |t| y + v. Turning y and v round makes all coefficients positive.
    let mut terms: Vec<Term> = Vec::new();
    for (len, stride) in a.axes().chain(b.axes()) {
        terms.push(Term { coefficient: (stride as i128).abs(), most: len as i128 - 1 });
    }
    terms.push(Term { coefficient: 1, most: a.size as i128 - 1 + b.size as i128 - 1 });
    let sum = high_b - 1 - low_a;
    // Terms of equal coefficients are one term.
    terms.retain(|term| term.coefficient > 0 && term.most > 0);
    terms.sort_by_key(|term| std::cmp::Reverse(term.coefficient));
    terms.dedup_by(|next, kept| {
        let same = next.coefficient == kept.coefficient;
        if same {
            kept.most += next.most;
        }
        same
    });
    Search::new(&terms).solvable(0, sum, false)
}

/// Whether two elements of an array may share a byte: false only if it is proven that they do not.
pub fn meets_itself(array: &Extent<'_>) -> bool {
    if array.shape.contains(&0) {
        return false;
    }
    let mut axes: Vec<(i128, i128)> =
        array.axes().map(|(len, stride)| ((stride as i128).abs(), len as i128)).collect();
    axes.sort_unstable();
    let mut reach = array.size as i128;
    let nested = axes.iter().all(|&(stride, len)| {
        let apart = stride >= reach;
        reach += stride * (len - 1);
        apart
    });
    if nested {
        return false;
    }
    // sum s d + u = 0 with |d| < n, |u| < size and some d not 0; shifted so that all unknowns start at 0.
    let mut terms: Vec<Term> =
        axes.iter().rev().map(|&(coefficient, len)| Term { coefficient, most: 2 * (len - 1) }).collect();
    if terms.iter().any(|term| term.coefficient == 0) {
        return true;
    }
    terms.push(Term { coefficient: 1, most: 2 * (array.size as i128 - 1) });
    let sum = terms.iter().map(|term| term.coefficient * (term.most / 2)).sum();
    Search::new(&terms).solvable(0, sum, true)
}

/// The search for a solution, with what it needs to know about the terms behind each one.
struct Search<'a> {
    terms: &'a [Term],
    /// The largest sum of the terms from each one on, and their greatest common divisor.
    rest: Vec<(i128, i128)>,
    steps: usize,
}

impl<'a> Search<'a> {
    fn new(terms: &'a [Term]) -> Self {
        let mut rest = vec![(0, 0); terms.len() + 1];
        for (i, term) in terms.iter().enumerate().rev() {
            let (sum, divisor) = rest[i + 1];
            rest[i] = (sum + term.coefficient * term.most, gcd(divisor, term.coefficient));
        }
        Self { terms, rest, steps: 0 }
    }

    /// Whether the terms from `i` on can make `sum`; also true if that took too long to find out. With
    /// `centred`, the solution in which every factor is half of its largest does not count.
    fn solvable(&mut self, i: usize, sum: i128, centred: bool) -> bool {
        let Some(term) = self.terms.get(i) else { return sum == 0 && !centred };
        let (reach, divisor) = self.rest[i + 1];
        let Term { coefficient, most } = *term;
        let lowest = ((sum - reach).max(0) + coefficient - 1) / coefficient;
        let highest = most.min(sum.div_euclid(coefficient));
        let mut factor = lowest;
        while factor <= highest {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return true;
            }
            let left = sum - factor * coefficient;
            let possible = if divisor == 0 { left == 0 } else { left % divisor == 0 };
            if possible && self.solvable(i + 1, left, centred && 2 * factor == most) {
                return true;
            }
            factor += 1;
        }
        false
    }
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
