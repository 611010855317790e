use super::*;
use crate::element::DType;
use crate::kernel::elementwise::kernel;
use crate::kernel::exact::ExactSum;
use crate::kernel::operands::{Constants, Operands};
use crate::kernel::output::Set;
use crate::pool;
use crate::simd::AnyIsa;

/// Logits of all magnitudes, NaN and infinities among them, and targets; as many as fill several blocks.
fn data() -> (Vec<f32>, Vec<u8>) {
    let x = |i: usize| match i % 1009 {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => -0.0,
        n => (n as f32 - 500.0) * 0.037,
    };
    ((0..3 * BLOCK + 77).map(x).collect(), (0..3 * BLOCK + 77).map(|i| u8::from(i % 7 == 0)).collect())
}

fn column<T>(data: &[T], dtype: DType) -> Column {
    Column { data: data.as_ptr().cast(), dtype }
}

fn bins_of(isa: AnyIsa, x: &[f32], y: &[u8], losses: &[f32]) -> (Vec<u16>, Sorted) {
    let mut bins = vec![0; losses.len()];
    // SAFETY: the slices are as long as each other.
    let sorted =
        unsafe { sort(isa, column(x, DType::Float32), column(y, DType::UInt8), losses, &mut bins).unwrap() };
    (bins, sorted)
}

#[test]
fn bins_follow_label_and_margin() {
    let x = [0.0, -0.0, 0.124, 0.125, -0.01, -0.125, 1e9, -1e9, f32::NAN, 1.0];
    let losses = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN, f32::NAN];
    for isa in AnyIsa::available() {
        let (bins, sorted) = bins_of(isa, &x, &[0; 10], &losses);
        assert_eq!(bins, [128, 128, 128, 129, 127, 126, 255, 0, NAN, NAN]);
        assert_eq!(sorted, Sorted { nan_logits: 1, positives: 0, outside: None });
        let (bins, sorted) = bins_of(isa, &x, &[1, 1, 1, 1, 1, 1, 1, 1, 2, 3], &losses);
        assert_eq!(bins, [384, 384, 383, 382, 384, 385, 256, 511, NAN, NAN]);
        assert_eq!(sorted, Sorted { nan_logits: 1, positives: 10, outside: Some(8) });
    }
}

#[test]
fn sums_are_those_of_plain_loops() {
    let (x, y) = data();
    let slopes: Vec<f32> = x.iter().map(|x| if x.is_finite() { x * 0.5 } else { 1.0 }).collect();
    let values: Vec<f32> = x.iter().map(|x| x * x).collect();
    for isa in AnyIsa::available() {
        let (bins, _) = bins_of(isa, &x, &y, &values);
        let each = [
            Each { values: &values, slopes: &slopes },
            Each { values: &slopes, slopes: &values },
            Each { values: &values, slopes: &slopes },
        ];
        let size = usize::from(NAN);
        let (mut counts, mut rows) = (vec![0; size + 1], vec![[0.0; 4]; 2 * (size + 1)]);
        let totals = tally(isa, &bins, &each, &mut counts, &mut rows).unwrap();
        assert_eq!(counts.iter().sum::<i64>(), x.len() as i64);
        assert_eq!(counts[size], x.iter().filter(|x| x.is_nan()).count() as i64);
        for bin in 0..size {
            let mut row = [0.0; 4];
            for (i, _) in bins.iter().enumerate().filter(|&(_, &b)| usize::from(b) == bin) {
                let (value, slope) = (f64::from(values[i]), f64::from(slopes[i]));
                for (sum, more) in row.iter_mut().zip([value, slope.abs(), slope, value.abs()]) {
                    *sum += more;
                }
            }
            for (got, want) in rows[bin].iter().zip(row) {
                assert!(*got == want || (got - want).abs() <= 1e-12 * want.abs(), "{got} {want}");
            }
            assert_eq!(rows[size + 1 + bin][..2], rows[bin][..2]);
        }
        let infinite = x.iter().filter(|x| x.is_infinite()).count() as u64;
        assert_eq!((totals[0].infinite, totals[0].low, totals[0].high), (infinite, 0.0, f64::INFINITY));
        assert_eq!(
            (totals[1].infinite, totals[1].sum.value()),
            (0, {
                let mut sum = ExactSum::default();
                slopes.iter().for_each(|&x| sum.add_number(f64::from(x)));
                sum.value()
            })
        );
        let squares: f64 = slopes.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((totals[0].squares - squares).abs() < 1e-12 * squares);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (x, y) = data();
    let isa = AnyIsa::available()[0];
    let values: Vec<f32> = x.iter().map(|x| if x.is_finite() { x * 0.3 } else { 0.0 }).collect();
    let (bins, _) = bins_of(isa, &x, &y, &values);
    let mut results = Vec::new();
    for threads in [1, 2, 5] {
        pool::set_threads(threads).unwrap();
        let (mut counts, mut rows) = (vec![0; 513], vec![[0.0; 4]; 513]);
        let each = [Each { values: &values, slopes: &values }];
        let totals = tally(isa, &bins, &each, &mut counts, &mut rows).unwrap();
        results.push((counts, rows, totals[0].squares, totals[0].sum));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Whether both are the same number, or NaN of either sign.
fn same(one: f64, two: f64) -> bool {
    one.to_bits() == two.to_bits() || one.is_nan() && two.is_nan()
}

#[test]
fn one_walk_is_what_several_calls_are() {
    let (x, y) = data();
    let losses =
        [(0.0, [1.0, 1.0]), (2.0, [0.75, 0.25]), (0.5, [0.75, 0.25]), (1.0, [1.0, 0.0]), (4.5, [1.0, 1.0])];
    let size = usize::from(NAN);
    for isa in AnyIsa::available() {
        let mut results = Vec::new();
        for (gamma, weights) in losses {
            let (mut values, mut slopes) = (vec![0.0_f32; x.len()], vec![0.0_f32; x.len()]);
            let targets: Vec<f32> = y.iter().map(|&y| f32::from(y)).collect();
            let mut operands = Operands { len: x.len(), ..Operands::NONE };
            (operands.logits, operands.targets) = (x.as_ptr(), targets.as_ptr());
            (operands.value, operands.grad) = (values.as_mut_ptr(), slopes.as_mut_ptr());
            let constants = Constants::new(gamma, weights.map(|weight| weight as f32));
            // SAFETY: all are as long as each other.
            unsafe { kernel(gamma, Set::ValueAndGrad)(isa, &constants, &operands) };
            results.push((values, slopes));
        }
        let each: Vec<_> = results.iter().map(|(values, slopes)| Each { values, slopes }).collect();
        let (bins, sorted) = bins_of(isa, &x, &y, &results[1].0);
        let (mut counts, mut rows) = (vec![0; size + 1], vec![[0.0; 4]; 3 * (size + 1)]);
        let totals = tally(isa, &bins, &each, &mut counts, &mut rows).unwrap();
        let weighed: Vec<_> = losses.iter().map(|&(gamma, weights)| Weighed { gamma, weights }).collect();
        let columns = (column(&x, DType::Float32), column(&y, DType::UInt8), x.len());
        let (mut walked_counts, mut walked_rows) = (vec![0; size + 1], vec![[0.0; 4]; 3 * (size + 1)]);
        // SAFETY: as above.
        let walked = unsafe {
            walk::<f32>(isa, columns, &weighed, &mut walked_counts, &mut walked_rows).unwrap().unwrap()
        };
        assert_eq!((walked_counts, walked.sorted), (counts, sorted), "{}", isa.name());
        for (&one, &two) in walked_rows.as_flattened().iter().zip(rows.as_flattened()) {
            assert!(same(one, two), "{}: {one} {two}", isa.name());
        }
        for (one, two) in walked.totals.iter().zip(&totals) {
            assert!(one.sum == two.sum && same(one.squares, two.squares), "{}", isa.name());
            assert_eq!((one.low, one.high, one.infinite), (two.low, two.high, two.infinite));
        }
    }
}

#[test]
fn a_label_that_is_no_class_stops_the_walk() {
    let (x, mut y) = data();
    let isa = AnyIsa::available()[0];
    for at in [0, 600, 2 * BLOCK + 3, y.len() - 1] {
        y[at] = 2;
        let columns = (column(&x, DType::Float32), column(&y, DType::UInt8), x.len());
        let (mut counts, mut rows) = (vec![0; 513], vec![[0.0; 4]; 513]);
        let losses = [Weighed { gamma: 2.0, weights: [1.0, 1.0] }];
        // SAFETY: both are as long as each other.
        let walked = unsafe { walk::<f32>(isa, columns, &losses, &mut counts, &mut rows).unwrap() };
        assert!(walked.is_none() && counts.iter().all(|&count| count == 0));
        y[at] = 0;
    }
}

#[test]
fn rows_of_classes_wherever_the_classes_are() {
    for inner in [1, 3] {
        let (classes, blocks) = (4, 2 * BLOCK / inner + 5);
        let entry = |block: usize, class: usize, place: usize| match (block * inner + place) % 101 {
            0 if class > 1 => f64::NAN,
            1 => f64::NEG_INFINITY,
            n => ((n * 7 + class * 5) % 11) as f64 - 5.0,
        };
        let mut entries = Vec::new();
        for block in 0..blocks {
            (0..classes).for_each(|c| (0..inner).for_each(|place| entries.push(entry(block, c, place))));
        }
        let rows = Rows { entries: &entries, classes, inner };
        let count = blocks * inner;
        let (mut places, mut most, mut sums) = (vec![9; count], vec![0.0; count], vec![0.0; count]);
        largest(rows, &mut places, &mut most).unwrap();
        let squares = sizes(rows, &mut sums).unwrap();
        assert!(squares.is_nan());
        for row in 0..count {
            let (block, place) = (row / inner, row % inner);
            let own: Vec<f64> = (0..classes).map(|class| entry(block, class, place)).collect();
            let want = own.iter().position(|x| x.is_nan()).unwrap_or_else(|| {
                (0..classes).fold(0, |most, class| if own[class] > own[most] { class } else { most })
            });
            assert_eq!((places[row], most[row].to_bits()), (want as i64, own[want].to_bits()));
            let sum: f64 = own.iter().map(|x| x.abs()).sum();
            assert!(sums[row] == sum || sum.is_nan() && sums[row].is_nan());
        }
    }
}

#[test]
fn margins_of_entropies() {
    let entropies =
        [0.0, 1e-30, 1e-9, 0.1, std::f64::consts::LN_2, 1.0, 30.0, 800.0, f64::INFINITY, f64::NAN];
    let mut found = [0.0; 10];
    margins(&entropies, &mut found).unwrap();
    assert!(found[0] == f64::NEG_INFINITY && found[8] == f64::INFINITY && found[9].is_nan());
    for (entropy, margin) in entropies.into_iter().zip(found).skip(1).take(7) {
        // The cross entropy of a margin m is log(1 + exp(m)).
        let back = if margin > 30.0 { margin } else { margin.exp().ln_1p() };
        assert!((back - entropy).abs() <= 1e-14 * entropy, "{entropy} {margin} {back}");
    }
}
