use super::*;
use crate::element::DType;
use crate::kernel::exact::ExactSum;
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
        assert_eq!(sorted, Sorted { nan_logits: 1, outside: None });
        let (bins, sorted) = bins_of(isa, &x, &[1, 1, 1, 1, 1, 1, 1, 1, 2, 3], &losses);
        assert_eq!(bins, [384, 384, 383, 382, 384, 385, 256, 511, NAN, NAN]);
        assert_eq!(sorted, Sorted { nan_logits: 1, outside: Some(8) });
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
