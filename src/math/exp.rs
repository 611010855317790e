//! exp(-x) for x >= 0, in two parts and scaled by a power of two.

use crate::real::Real;
use crate::simd::Vector;
use crate::simd::real::ExpConstants;

impl ExpConstants for f32 {
    // Degree 4, relative error of exp(r) 2^-28.25.
    const EXP: &'static [f32] = &[0.499_999_94, 0.166_665_21, 0.041_668_274, 0.008_368_682, 0.001_382_004_2];
    const LOG2E: f32 = core::f32::consts::LOG2_E;
    const LN2_HI: f32 = 0.693_145_75;
    const LN2_LO: f32 = 1.428_606_8e-6;
    const TO_INTEGER: f32 = 12_582_912.0;
    const INTEGER: f32 = 8_388_608.0;
    const EXPONENT_OF_ONE: f32 = 127.0;
}

impl ExpConstants for f64 {
    // Degree 9, relative error of exp(r) 2^-57.90.
    const EXP: &'static [f64] = &[
        0.500_000_000_000_001_1,
        0.166_666_666_666_664_52,
        0.041_666_666_666_528_06,
        0.008_333_333_333_476_61,
        0.001_388_888_894_399_464_4,
        0.000_198_412_695_359_560_9,
        2.480_149_280_033_069_2e-5,
        2.755_756_530_538_926e-6,
        2.763_034_406_956_303_5e-7,
        2.500_565_613_937_939e-8,
    ];
    const LOG2E: f64 = core::f64::consts::LOG2_E;
    const LN2_HI: f64 = 0.693_147_180_560_117_7;
    const LN2_LO: f64 = -1.723_944_452_561_483_5e-13;
    const TO_INTEGER: f64 = 6_755_399_441_055_744.0;
    const INTEGER: f64 = 4_503_599_627_370_496.0;
    const EXPONENT_OF_ONE: f64 = 1023.0;
}

/// exp of something: scale * (1 + excess).
#[derive(Clone, Copy)]
pub struct Exponential<V> {
    scale: V,
    excess: V,
}

/// exp(-(hi + lo)) * 2^bias.
///
/// Method (Cody and Waite 1980; Muller, Elementary Functions, 2016, ch. 11): n = round(-hi log2(e)),
/// r = -(hi + lo) - n ln(2) with ln(2) in two parts, exp(r) = 1 + r + r^2 P(r), and the sum with 1
/// is left to those who use it, to keep what its rounding loses. The bias lets the caller hold results that
/// would be subnormal without loss, as long as n + bias stays a normal exponent.
///
/// `bias_and_shift` is the bias, a whole number, plus [`ExpConstants::TO_INTEGER`].
#[inline(always)]
pub fn exp_neg<V: Vector>(hi: V, lo: V, bias_and_shift: V::Real) -> Exponential<V> {
    let shift = hi.constant(bias_and_shift);
    let shifted = hi.neg_mul_add(hi.constant(V::Real::LOG2E), shift);
    let minus_n = shift - shifted;
    let r = minus_n.mul_add(hi.constant(V::Real::LN2_HI), -hi);
    let r = minus_n.mul_add(hi.constant(V::Real::LN2_LO), r) - lo;
    let excess = (r * r).mul_add(r.horner(V::Real::EXP), r);
    let one = hi.constant(V::Real::ONE);
    Exponential { scale: one.add_exponent(shifted), excess }
}

impl<V: Vector> Exponential<V> {
    /// Puts it down in two rows that are `pitch` numbers apart.
    ///
    /// # Safety
    /// `LANES` numbers must be writeable there in each row.
    #[inline(always)]
    pub unsafe fn store(self, start: *mut V::Real, pitch: usize) {
        // SAFETY: handed through from the caller.
        unsafe {
            self.scale.store(start);
            self.excess.store(start.add(pitch));
        }
    }

    /// Takes it up again.
    ///
    /// # Safety
    /// `LANES` numbers must be readable there in each row.
    #[inline(always)]
    pub unsafe fn load(isa: V::Isa, start: *const V::Real, pitch: usize) -> Self {
        // SAFETY: handed through from the caller.
        unsafe { Self { scale: V::load(isa, start), excess: V::load(isa, start.add(pitch)) } }
    }

    /// 1 + excess as the sum of two parts, the second no more than the rounding error of the first.
    #[inline(always)]
    fn head_and_tail(self) -> (V, V) {
        let one = self.excess.constant(V::Real::ONE);
        let head = one + self.excess;
        (head, self.excess - (head - one))
    }

    /// The larger part, with the bias.
    #[inline(always)]
    pub fn scaled(self) -> V {
        self.head_and_tail().0 * self.scale
    }

    /// Both parts, with the bias.
    #[inline(always)]
    pub fn parts(self) -> (V, V) {
        let (head, tail) = self.head_and_tail();
        (head * self.scale, tail * self.scale)
    }

    /// Both parts times `unscale`, the power of two that takes the bias out: each is rounded into the
    /// subnormal numbers once, if it falls there.
    #[inline(always)]
    pub fn scaled_by(self, unscale: V::Real) -> (V, V) {
        let scale = self.scale * self.scale.constant(unscale);
        let (head, tail) = self.head_and_tail();
        (head * scale, tail * scale)
    }
}
