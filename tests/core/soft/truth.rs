//! The losses for labels between 0 and 1 in float64, and what their errors are counted in.

use focalgrad::params::SoftTargets;

use crate::harness::Call;

/// Value, gradient, Hessian and Gauss-Newton Hessian; and for each the sum of the magnitudes of the terms
/// that cancel.
pub type Truth = ([f64; 4], [f64; 4]);

/// The less likely class: its probability and that of the other, their losses, its target and the other's.
#[derive(Clone, Copy)]
struct Folded {
    small: f64,
    large: f64,
    losses: [f64; 2],
    y: [f64; 2],
    weights: [f64; 2],
    sign: f64,
}

/// What is true, up to some units of 2^-50 of the sum of magnitudes.
pub fn truth(call: &Call, x: f64, y: f64) -> Truth {
    let s = call.smoothing;
    let (positive, negative) = (y * (1.0 - s) + s / 2.0, (1.0 - y) * (1.0 - s) + s / 2.0);
    let likely = x > if call.probabilities { 0.5 } else { 0.0 };
    let (small, large, losses) = if call.probabilities {
        let small = if likely { 1.0 - x } else { x };
        (small, 1.0 - small, [-small.ln(), -(-small).ln_1p()])
    } else {
        let e = (-x.abs()).exp();
        (e / (1.0 + e), 1.0 / (1.0 + e), [x.abs() + e.ln_1p(), e.ln_1p()])
    };
    let [a, b] = call.weights;
    let folded = if likely {
        Folded { small, large, losses, y: [negative, positive], weights: [a, b], sign: -1.0 }
    } else {
        Folded { small, large, losses, y: [positive, negative], weights: [b, a], sign: 1.0 }
    };
    let (mut value, mut size) = match call.meaning {
        SoftTargets::Expected => expected(call, &folded),
        _ => with_factor(call, &folded),
    };
    value[3] = gauss_newton(call, &folded);
    size[3] = value[3];
    (value, size)
}

/// The surrogate is a sum of two terms that are not negative.
fn gauss_newton(call: &Call, folded: &Folded) -> f64 {
    let Folded { small, large, losses, y, weights, .. } = *folded;
    let g = call.gamma;
    let descent = |p: f64, q: f64, loss: f64| q.powf(g) * (q + g * p * loss);
    let parts = [small * descent(small, large, losses[0]), large * descent(large, small, losses[1])];
    let mean = weights[0] * y[0] + weights[1] * y[1];
    let weights = if call.meaning == SoftTargets::Expected { weights } else { [mean; 2] };
    weights[0] * y[0] * parts[0] + weights[1] * y[1] * parts[1]
}

fn expected(call: &Call, folded: &Folded) -> Truth {
    let mut sum = ([0.0; 4], [0.0; 4]);
    for class in 0..2 {
        let mut y = [0.0; 2];
        y[class] = 1.0;
        let of_class = Call { meaning: SoftTargets::Mixture, ..*call };
        let (value, size) = with_factor(&of_class, &Folded { y, ..*folded });
        for k in 0..3 {
            if folded.y[class] != 0.0 {
                sum.0[k] += folded.y[class] * value[k];
                sum.1[k] += folded.y[class] * size[k];
            }
        }
    }
    sum
}

fn with_factor(call: &Call, folded: &Folded) -> Truth {
    let Folded { small, large, losses, y, weights, sign } = *folded;
    let g = call.gamma;
    let weight = weights[0] * y[0] + weights[1] * y[1];
    let nearer = small.max(y[0]);
    // `quality`: |p - y| is known to an ulp of the larger of both.
    let (m, k, blur) = if call.meaning == SoftTargets::Quality {
        let d = small - y[0];
        (d.abs(), d.signum(), nearer / d.abs())
    } else {
        (y[0] * large + y[1] * small, y[1] - y[0], 0.0)
    };
    let losses = [if y[0] == 0.0 { 0.0 } else { y[0] * losses[0] }, y[1] * losses[1]];
    let ce = losses[0] + losses[1];
    let scale = weight * (g * m.ln()).exp();
    let blurs = [1.0 + g * blur, 1.0 + (g + 1.0) * blur, 1.0 + (g + 2.0) * blur];
    let (slope, slopes, bend, bends) = if call.probabilities {
        let (rest, steep) = (y[1] / large, y[0] / small);
        let ratio = ce / m;
        let inner = steep / small + rest / large;
        (
            (rest - steep) + g * k * ratio,
            rest + steep + g * k.abs() * ratio,
            inner + 2.0 * g * k * (rest - steep) / m + g * (g - 1.0) * k * k * ratio / m,
            inner + 2.0 * g * k.abs() * (rest + steep) / m + g * (g - 1.0).abs() * k * k * ratio / m,
        )
    } else {
        let variance = small * large;
        let r = if m == 0.0 { 0.0 } else { variance / m };
        let t = small - y[0];
        let lean = large - small;
        (
            t + g * k * r * ce,
            nearer + g * k.abs() * r * ce,
            variance + g * r * (2.0 * k * t + ce * (k * lean + (g - 1.0) * k * k * r)),
            variance + g * r * (2.0 * k.abs() * nearer + ce * (k.abs() * lean + (g - 1.0).abs() * k * k * r)),
        )
    };
    let value = [scale * ce, sign * scale * slope, scale * bend, 0.0];
    (value, [scale * ce * blurs[0], scale * slopes * blurs[1], scale * bends * blurs[2], 0.0])
}
