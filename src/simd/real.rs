//! The types that kernels compute in. What arrays hold is more: see [`crate::element`].

use super::{Isa, Pick, Vector};

/// A floating-point type with kernels of its own.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + ExpConstants
    + Log1pConstants
    + LogConstants
    + 'static
{
    /// The group of lanes of this type in an instruction set.
    type Lanes<I: Isa>: Vector<Isa = I, Real = Self>;

    /// One vector of lanes of this type.
    type One<I: Isa>: Pick<Isa = I, Real = Self>;

    /// 0.
    const ZERO: Self;
    /// 1/2.
    const HALF: Self;
    /// 1.
    const ONE: Self;
    /// The lowest finite number.
    const LOWEST: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;
    /// A quiet NaN.
    const NAN: Self;
    /// A magnitude from which on exp(-x) is 0: logits beyond it saturate.
    const SATURATED: Self;
    /// The largest gamma that formulas may multiply with: its square times `SATURATED` is finite.
    const GAMMA_MAX: f64;

    /// The same number in this type.
    fn from_f32(x: f32) -> Self;

    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;

    /// The nearest number of this type to a weight, but what is finite stays finite and what is not 0 stays so: an
    /// infinite loss has an infinite product with every weight but 0, a loss of 0 the product 0 with every
    /// finite one.
    fn from_weight(x: f64) -> Self;

    /// The same number in float64.
    fn to_f64(self) -> f64;
}

/// The smallest and the largest finite float32.
const SMALLEST: f64 = f32::from_bits(1) as f64;
const LARGEST: f64 = f32::MAX as f64;

impl Real for f32 {
    type Lanes<I: Isa> = I::F32;
    type One<I: Isa> = I::OneF32;

    const ZERO: Self = 0.0;
    const HALF: Self = 0.5;
    const ONE: Self = 1.0;
    const LOWEST: Self = f32::MIN;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const NAN: Self = f32::NAN;
    const SATURATED: Self = 128.0;
    const GAMMA_MAX: f64 = (1_u64 << 59) as f64;

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn from_weight(x: f64) -> Self {
        let size = x.abs();
        let size = if size < SMALLEST && size > 0.0 { SMALLEST } else { size };
        let size = if size > LARGEST && size < f64::INFINITY { LARGEST } else { size };
        size.copysign(x) as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    type Lanes<I: Isa> = I::F64;
    type One<I: Isa> = I::OneF64;

    const ZERO: Self = 0.0;
    const HALF: Self = 0.5;
    const ONE: Self = 1.0;
    const LOWEST: Self = f64::MIN;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const NAN: Self = f64::NAN;
    const SATURATED: Self = 800.0;
    // 2^500
    const GAMMA_MAX: f64 = f64::from_bits((1023 + 500) << 52);

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        f64::from(x)
    }

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn from_weight(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// What the exponential needs to know of an element type.
///
/// The numbers come from `tools/coefficients.py` (Remez exchange, then rounding one coefficient at a
/// time), which also prints the error of each polynomial.
pub trait ExpConstants: Sized + 'static {
    /// Coefficients of P in exp(r) = 1 + r + r^2 P(r) for |r| <= ln(2)/2, the constant term first.
    const EXP: &'static [Self];
    /// log2(e).
    const LOG2E: Self;
    /// ln(2), rounded to so few bits that its product with any exponent is exact.
    const LN2_HI: Self;
    /// ln(2) - `LN2_HI`.
    const LN2_LO: Self;
    /// 1.5 * 2^(mantissa bits): a sum with it is rounded to an integer, which stands in the low bits.
    const TO_INTEGER: Self;
    /// 2^(mantissa bits): a number whose low bits are an integer.
    const INTEGER: Self;
    /// The exponent field of 1.
    const EXPONENT_OF_ONE: Self;
}

/// What the logarithm of any number needs to know of an element type.
///
/// The numbers come from `tools/coefficients.py` (Remez exchange, then rounding one coefficient at a
/// time), which also prints the error of each polynomial.
pub trait LogConstants: Sized + 'static {
    /// Coefficients of S in log(1 + f) = f + f^2 S(f) for |f| <= sqrt(2) - 1, the constant term first.
    const LOG: &'static [Self];
    /// sqrt(2): numbers are halved from here on.
    const SQRT_2: Self;
}

/// What the logarithm needs to know of an element type.
///
/// The numbers come from `tools/coefficients.py` (Remez exchange, then rounding one coefficient at a
/// time), which also prints the error of each polynomial.
pub trait Log1pConstants: Sized + 'static {
    /// Coefficients of S in log(1 + e) = e + e^2 S(e) for 0 < e <= 1, the constant term first.
    const LOG1P: &'static [Self];
}
