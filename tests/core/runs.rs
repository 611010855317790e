//! Runs of any length through the kernels for labels of 0 and 1: they have the bits of their elements alone, and stop
//! where they are asked to.

use std::ops::Range;
use std::ptr::{null, null_mut};

use focalgrad::cache::LINE;
use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::output::{self, Set};
use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;

/// Three tiles and a little more.
const LEN: usize = 3 * TILE + 77;

fn logits() -> Vec<f32> {
    (0..LEN).map(|i| (i as f32 * 0.618_034).fract() * 60.0 - 30.0).collect()
}

fn labels() -> Vec<f32> {
    (0..LEN).map(|i| if i % 3 == 0 { 1.0 } else { 0.0 }).collect()
}

/// Losses and gradient, and how many elements were done.
fn run(isa: AnyIsa, gamma: f64, logits: &[f32], targets: &[f32], stops: bool) -> ([Vec<f32>; 2], usize) {
    let [mut value, mut grad] = [vec![-1.0; logits.len()], vec![-1.0; logits.len()]];
    let operands = Operands { stops, ..operands(logits, targets, [&mut value, &mut grad, &mut []]) };
    let kernel = f32::kernel(gamma, Set::ValueAndGrad);
    // SAFETY: every operand that the kernel uses is as long as the logits.
    let done = unsafe { kernel(isa, &constants(gamma), &operands) };
    ([value, grad], done)
}

fn constants(gamma: f64) -> Constants<f32> {
    Constants::new(gamma, [0.75, 0.25])
}

fn operands(logits: &[f32], targets: &[f32], outputs: [&mut [f32]; 3]) -> Operands<f32> {
    // Outputs without elements are not wanted.
    let pointer = |rows: &mut [f32]| if rows.is_empty() { null_mut() } else { rows.as_mut_ptr() };
    let [value, grad, hess] = outputs.map(pointer);
    Operands {
        len: logits.len(),
        logits: logits.as_ptr(),
        targets: targets.as_ptr(),
        value,
        grad,
        hess,
        ..Operands::NONE
    }
}

#[test]
fn a_long_run_has_the_bits_of_its_elements() {
    let (logits, targets) = (logits(), labels());
    for isa in AnyIsa::available() {
        for gamma in [0.0, 1.7, 2.0] {
            let (whole, done) = run(isa, gamma, &logits, &targets, true);
            assert_eq!(done, LEN);
            for i in 0..LEN {
                let (alone, _) = run(isa, gamma, &logits[i..=i], &targets[i..=i], true);
                for (whole, alone) in whole.iter().zip(&alone) {
                    assert_eq!(whole[i].to_bits(), alone[0].to_bits(), "{} {gamma} {i}", isa.name());
                }
            }
        }
    }
}

/// Labels that are neither 0 nor 1.
const OTHERS: [f32; 10] = [
    0.5,
    -1.0,
    2.0,
    1e-45,
    -1e-45,
    1.0 + f32::EPSILON,
    1.0 - f32::EPSILON / 2.0,
    f32::MAX,
    f32::NEG_INFINITY,
    f32::NAN,
];

#[test]
fn minus_zero_is_a_label_and_others_do_not_make_up_for_each_other() {
    let logits = logits();
    for isa in AnyIsa::available() {
        let mut targets = labels();
        targets.iter_mut().filter(|y| **y == 0.0).for_each(|y| *y = -0.0);
        let (results, done) = run(isa, 2.0, &logits, &targets, true);
        assert_eq!((results, done), run(isa, 2.0, &logits, &labels(), true));
        // In the same lane of any group: y^2 - y is 0.75 once and -0.25 three times.
        for (at, label) in [(5, 1.5), (69, 0.5), (133, 0.5), (197, 0.5)] {
            targets[at] = label;
        }
        assert_eq!(run(isa, 2.0, &logits, &targets, true).1, 0, "{}", isa.name());
    }
}

#[test]
fn a_kernel_stops_before_the_tile_of_another_label() {
    let logits = logits();
    for isa in AnyIsa::available() {
        for at in [0, 1, TILE - 1, TILE, 2 * TILE + 40, 3 * TILE, LEN - 1] {
            for label in OTHERS {
                let mut targets = labels();
                targets[at] = label;
                let (results, done) = run(isa, 2.0, &logits, &targets, true);
                assert_eq!(done, at / TILE * TILE, "{} {at} {label}", isa.name());
                for result in &results {
                    assert!(result[..done].iter().all(|x| x.is_finite() && *x != -1.0));
                    assert!(result[done..].iter().all(|&x| x == -1.0), "written behind the end");
                }
                let (results, done) = run(isa, 2.0, &logits, &targets, false);
                assert_eq!(done, LEN);
                for result in results {
                    assert!(result.iter().enumerate().all(|(i, x)| x.is_nan() == (i == at)));
                }
            }
        }
    }
}

/// Where so many elements are, the first so many behind the start of a cache line.
fn beyond_a_line(memory: &[f32], start: usize, len: usize) -> Range<usize> {
    let first = memory.as_ptr().align_offset(LINE) + start;
    first..first + len
}

/// What is written past the caches begins anywhere in a cache line.
#[test]
fn what_streams_has_the_same_bits_and_touches_nothing_else() {
    let (logits, targets) = (logits(), labels());
    let sets = [Set::Value, Set::Grad, Set::ValueAndGrad, Set::GradAndCurvature];
    for isa in AnyIsa::available() {
        for set in sets {
            let kernel = f32::kernel(2.0, set);
            for len in [1, 15, 40, TILE, TILE + 9, LEN] {
                let run = |start: usize, streams: bool| {
                    let mut results = [(); 3].map(|()| vec![-1.0_f32; len + 48]);
                    let places = results.each_ref().map(|result| beyond_a_line(result, start, len));
                    let wanted = [output::VALUE, output::GRAD, output::CURVATURE].map(|one| set.has(one));
                    let mut outputs = [(); 3].map(|()| &mut [][..]);
                    for (i, result) in results.iter_mut().enumerate().filter(|&(i, _)| wanted[i]) {
                        outputs[i] = &mut result[places[i].clone()];
                    }
                    let operands = operands(&logits[..len], &targets[..len], outputs);
                    // SAFETY: every operand is `len` long; all results begin as far from a line.
                    let done = unsafe {
                        kernel(isa, &constants(2.0), &Operands { streams, stops: true, ..operands })
                    };
                    assert_eq!(done, len);
                    for (result, place) in results.iter().zip(&places) {
                        let others = result[..place.start].iter().chain(&result[place.end..]);
                        assert!(others.into_iter().all(|&x| x == -1.0));
                    }
                    [0, 1, 2].map(|i| results[i][places[i].clone()].iter().map(|x| x.to_bits()).collect())
                };
                let plain: [Vec<u32>; 3] = run(0, false);
                for start in 0..17 {
                    assert_eq!(run(start, true), plain, "{} {set:?} {len} {start}", isa.name());
                }
            }
        }
    }
}

/// Cut at cache lines, a kernel stops at the start of a part, before the label.
#[test]
fn what_streams_stops_as_well() {
    let logits = logits();
    for isa in AnyIsa::available() {
        for start in [0, 3] {
            for at in [0, 1, TILE - 1, TILE + 20, 3 * TILE, LEN - 1] {
                let mut targets = labels();
                targets[at] = 0.5;
                let mut grad = vec![-1.0_f32; LEN + 32];
                let place = beyond_a_line(&grad, start, LEN);
                let first = place.start;
                let operands = operands(&logits, &targets, [&mut [], &mut grad[place], &mut []]);
                let kernel = f32::kernel(2.0, Set::Grad);
                // SAFETY: every operand that the kernel uses is as long as the logits.
                let done = unsafe {
                    kernel(isa, &constants(2.0), &Operands { streams: true, stops: true, ..operands })
                };
                // What comes before the first line goes with the part that begins there.
                assert!(done <= at && at - done < TILE + 16, "{} {start} {at} {done}", isa.name());
                assert!(grad[first..first + done].iter().all(|&x| x != -1.0));
                assert!(grad[first + done..].iter().all(|&x| x == -1.0), "written behind the end");
            }
        }
    }
}

/// Weights and gammas of each element's own, and a label that is neither 0 nor 1.
#[test]
fn what_streams_reads_all_inputs_where_they_are() {
    let (logits, mut targets) = (logits(), labels());
    targets[7] = 0.5;
    let list = |step: f32| -> Vec<f32> { (0..LEN).map(|i| 0.5 + (i as f32 * step).fract()).collect() };
    let (lists, low) = ([0.1, 0.2, 0.3, 0.4, 0.9].map(list), vec![1e-9; LEN]);
    let [a, b, c, d, gamma] = lists.each_ref().map(|list| list.as_ptr());
    let set = Set::GradAndCurvature;
    for isa in AnyIsa::available() {
        for kernel in [f32::kernel(1.7, set), f32::kernel_of_gammas(set)] {
            for len in [40, 64, 70, TILE, TILE + 9, LEN] {
                let run = |start: usize, streams: bool| {
                    let mut results = [(); 2].map(|()| vec![-1.0_f32; len + 48]);
                    let places = results.each_ref().map(|result| beyond_a_line(result, start, len));
                    let [grad, hess] = results.each_mut();
                    let outputs = [&mut [][..], &mut grad[places[0].clone()], &mut hess[places[1].clone()]];
                    let operands = Operands {
                        weights: [[null(); 2], [a, b], [c, d]],
                        gammas: [gamma, low.as_ptr()],
                        streams,
                        ..operands(&logits[..len], &targets[..len], outputs)
                    };
                    // SAFETY: every operand is `len` long or longer; both results begin as far from a line.
                    let done = unsafe { kernel(isa, &constants(1.7), &operands) };
                    assert_eq!(done, len);
                    [0, 1].map(|i| results[i][places[i].clone()].to_vec())
                };
                let plain = run(0, false);
                for (i, (grad, hess)) in plain[0].iter().zip(&plain[1]).enumerate() {
                    assert_eq!([grad.is_nan(), hess.is_nan()], [i == 7; 2]);
                }
                for start in [0, 1, 4, 13] {
                    let found = run(start, true);
                    let bits = |rows: &[Vec<f32>; 2]| -> Vec<u32> {
                        let bits = |x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
                        rows.iter().flatten().map(bits).collect()
                    };
                    assert_eq!(bits(&found), bits(&plain), "{} {len} {start}", isa.name());
                }
            }
        }
    }
}

/// Float64 has half the lanes, and its groups end elsewhere in a cache line.
#[test]
fn what_streams_in_float64_has_the_same_bits() {
    let logits: Vec<f64> = logits().into_iter().map(f64::from).collect();
    let targets: Vec<f64> = labels().into_iter().map(f64::from).collect();
    let constants = Constants::new(2.0, [0.75, 0.25]);
    for isa in AnyIsa::available() {
        let kernel = f64::kernel(2.0, Set::Grad);
        for len in [1, 7, 32, 40, TILE, TILE + 9, LEN] {
            let run = |start: usize, streams: bool| {
                let mut grad = vec![-1.0_f64; len + 24];
                let first = grad.as_ptr().align_offset(LINE) + start;
                let operands = Operands {
                    len,
                    logits: logits.as_ptr(),
                    targets: targets.as_ptr(),
                    grad: grad[first..first + len].as_mut_ptr(),
                    stops: true,
                    streams,
                    ..Operands::NONE
                };
                // SAFETY: inputs are `len` long or longer, the gradient is.
                assert_eq!(unsafe { kernel(isa, &constants, &operands) }, len);
                assert!(grad[..first].iter().chain(&grad[first + len..]).all(|&x| x == -1.0));
                grad[first..first + len].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let plain = run(0, false);
            for start in 0..9 {
                assert_eq!(run(start, true), plain, "{} {len} {start}", isa.name());
            }
        }
    }
}
