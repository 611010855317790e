//! What happens at infinite logits, at probabilities of 0 and 1, under weights of 0, and to NaN.

use focalgrad::params::SoftTargets;
use focalgrad::simd::AnyIsa;

use crate::harness::{Call, MEANINGS, spread};

#[test]
fn logits_without_bound_have_limits() {
    let inf = f32::INFINITY;
    for isa in AnyIsa::available() {
        for (_, meaning) in MEANINGS {
            for gamma in [0.0, 0.5, 1.0, 2.0, 5.0, 40.0, 1e3, 1e15, 1e30] {
                let call = Call::plain(meaning, gamma);
                let x = [inf, -inf, inf, -inf, inf, -inf, f32::NAN, 0.5, f32::MAX];
                let y = [1.0, 0.0, 0.0, 1.0, 0.25, 0.25, 0.5, f32::NAN, 1.0];
                let out = call.run(isa, &x, &y);
                let name = format!("{} {call:?} {out:?}", isa.name());
                for row in &out[..3] {
                    assert!(row[6].is_nan() && row[7].is_nan(), "{name}");
                    assert!(row[..6].iter().all(|x| !x.is_nan()) && row[8] == 0.0, "{name}");
                    assert!(row[0] == 0.0 && row[1] == 0.0, "{name}");
                }
                assert_eq!(out[0][2..6], [inf; 4], "{name}");
                assert_eq!(out[1][2..4], [1.0, -1.0], "{name}");
                assert_eq!(out[2][2..6], [0.0; 4], "{name}");
                if gamma < 40.0 {
                    assert!(out[1][4] > 0.0 && out[1][5] < 0.0, "{name}");
                }
            }
        }
    }
}

#[test]
fn labels_beyond_0_and_1_make_nan_and_weights_of_0_do_not() {
    let x: Vec<f32> = (0..256).map(|i| ((spread(i) * 2.0 - 1.0) * 200.0) as f32).collect();
    let y: Vec<f32> = (0..256).map(|i| (spread(7 * i + 3) * 6.0 - 3.0) as f32).collect();
    for isa in AnyIsa::available() {
        for (_, meaning) in MEANINGS {
            for probabilities in [false, true] {
                for gamma in [0.0, 0.5, 2.0, 30.0] {
                    let mut call = Call { probabilities, ..Call::plain(meaning, gamma) };
                    if !probabilities {
                        let [value, grad, hess, _] = call.run(isa, &x, &y);
                        for (i, y) in y.iter().enumerate() {
                            let outside = !(0.0..=1.0).contains(y);
                            let are_nan = [value[i], grad[i], hess[i]].map(f32::is_nan);
                            assert_eq!(are_nan, [outside; 3], "{call:?} {y}");
                        }
                    }
                    call.weights = [0.0; 2];
                    let edges = if probabilities {
                        [0.0, 1.0, 0.0, 1.0, f32::NAN]
                    } else {
                        [f32::INFINITY, f32::NEG_INFINITY, 1.0, 2.0, f32::NAN]
                    };
                    let out = call.run(isa, &edges, &[0.0, 0.25, 1.0, 1.0, 0.5]);
                    for row in &out[..3] {
                        assert!(row[..4].iter().all(|&x| x == 0.0), "{call:?} {out:?}");
                        assert!(row[4].is_nan(), "{call:?} {out:?}");
                    }
                    let bits: Vec<u32> = out[0][..4].iter().map(|x| x.to_bits()).collect();
                    assert_eq!(bits, [0; 4], "{call:?}: a loss of -0.0");
                }
            }
        }
    }
}

#[test]
fn no_label_hangs() {
    let y = [f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 1e-45, 1e30];
    let x = [0.0, 100.0, -100.0, 0.3, 0.7, 1.0, f32::INFINITY, 0.5];
    for isa in AnyIsa::available() {
        for (_, meaning) in MEANINGS {
            for probabilities in [false, true] {
                for shift in 0..8 {
                    let mut x = x;
                    x.rotate_left(shift);
                    Call { probabilities, ..Call::plain(meaning, 1.7) }.run(isa, &x, &y);
                }
            }
        }
    }
}

#[test]
fn quality_at_its_singular_point() {
    for isa in AnyIsa::available() {
        for gamma in [0.5, 1.0, 1.7, 3.0] {
            let out = Call::plain(SoftTargets::Quality, gamma).run(isa, &[0.0_f32], &[0.5]);
            assert_eq!([out[0][0], out[1][0], out[2][0]], [0.0; 3]);
        }
        let log2 = f64::ln(2.0);
        let call = Call::plain(SoftTargets::Quality, 2.0);
        let out = call.run(isa, &[0.0_f64], &[0.5]);
        assert_eq!((out[0][0], out[1][0]), (0.0, 0.0));
        assert!((out[2][0] - 2.0 * log2 / 16.0).abs() < 1e-15);
        let out = Call { probabilities: true, ..call }.run(isa, &[0.5_f64], &[0.5]);
        assert_eq!((out[0][0], out[1][0]), (0.0, 0.0));
        assert!((out[2][0] - 2.0 * log2).abs() < 1e-15);
    }
}

#[test]
fn probabilities_of_0_and_1_have_limits() {
    let inf = f64::INFINITY;
    for isa in AnyIsa::available() {
        for (_, meaning) in MEANINGS {
            for (gamma, right) in [(0.0, 1.0), (0.5, inf), (1.0, 2.0), (2.0, 0.0), (5.0, 0.0)] {
                let call = Call { probabilities: true, ..Call::plain(meaning, gamma) };
                let [value, grad, hess, _] =
                    call.run(isa, &[1.0, -0.0, 1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5]);
                let name = format!("{} {call:?} {value:?} {grad:?} {hess:?}", isa.name());
                let unmodulated = if gamma == 0.0 { 1.0 } else { 0.0 };
                assert_eq!(value, [0.0, 0.0, inf, inf, inf, inf], "{name}");
                assert_eq!(grad, [-unmodulated, unmodulated, inf, -inf, -inf, inf], "{name}");
                assert_eq!(hess, [right, right, inf, inf, inf, inf], "{name}");
            }
        }
    }
}

#[test]
fn clipped_probabilities_have_no_derivative() {
    for isa in AnyIsa::available() {
        let call = Call { probabilities: true, ..Call::plain(SoftTargets::Mixture, 2.0) };
        let options = call.options::<f32>().clipped(1e-3);
        let edge = 1e-3_f32;
        let x = [0.0, edge, edge.next_up(), 1.0, 1.0 - edge, f32::NAN];
        let [value, grad, hess, _] = call.run_with(isa, &options, &x, &[1.0; 6]);
        assert_eq!(value[0], value[1]);
        assert!((f64::from(value[0]) - 0.998_001 * -f64::ln(1e-3)).abs() < 2e-6);
        assert!(grad[0] == 0.0 && hess[0] == 0.0 && grad[3] == 0.0 && hess[3] == 0.0);
        assert!(grad[1] < 0.0 && grad[2] < 0.0 && hess[1] > 0.0 && grad[4] < 0.0);
        assert!(value[5].is_nan() && grad[5].is_nan() && hess[5].is_nan());
    }
}
