//! A sum that is exact: whatever is added, in whatever order and pieces, the result is the float64
//! nearest to the sum of real numbers.
//!
//! The sum is one long fixed-point number that spans all of float64, with 64 bits to spare above
//! (Kulisch and Miranker 1981), in digits of 32 bits that stand in words of 64: additions leave their
//! carries where they fall, to be passed on every 2^30 times (Neal, "Fast exact summation using small
//! and large superaccumulators", 2015).

/// Bits of a digit.
const DIGIT: i32 = 32;
const MASK: i64 = (1 << DIGIT) - 1;
/// The smallest float64 is 2^LOWEST.
pub const LOWEST: i32 = -1074;
/// From 2^-1074 to 2^1024, and 64 bits more.
const DIGITS: usize = 68;
/// Additions until carries are passed on: each changes a digit by less than 2^32.
const ADDITIONS: u32 = 1 << 30;

/// What has no place in a number.
mod flag {
    pub const INFINITY: u8 = 1;
    pub const NEG_INFINITY: u8 = 2;
    pub const NAN: u8 = 4;
}

/// An exact running sum.
///
/// Two sums are equal if what they stand for is.
#[derive(Clone, Copy, Debug)]
pub struct ExactSum {
    digits: [i64; DIGITS],
    additions: u32,
    flags: u8,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { digits: [0; DIGITS], additions: 0, flags: 0 }
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.flags == other.flags && self.carried().digits == other.carried().digits
    }
}

impl Eq for ExactSum {}

impl ExactSum {
    /// Bytes that [`Self::to_bytes`] gives.
    pub const BYTES: usize = DIGITS * size_of::<i64>() + 1;

    /// Adds n 2^exponent, which must lie within the range of float64.
    #[inline]
    pub(crate) fn add_scaled(&mut self, n: i64, exponent: i32) {
        let position = exponent - LOWEST;
        let (at, shift) = ((position / DIGIT) as usize, position % DIGIT);
        let wide = i128::from(n) << shift;
        let parts = [wide as i64 & MASK, (wide >> DIGIT) as i64 & MASK, (wide >> (2 * DIGIT)) as i64];
        for (digit, part) in self.digits.iter_mut().skip(at).zip(parts) {
            *digit += part;
        }
        self.count(1);
    }

    /// Adds a number.
    #[inline]
    pub fn add_number(&mut self, x: f64) {
        let bits = x.to_bits();
        let field = ((bits >> 52) & 0x7ff) as i32;
        let fraction = (bits & ((1 << 52) - 1)) as i64;
        if field == 0x7ff {
            self.flags |= match (fraction, x > 0.0) {
                (0, true) => flag::INFINITY,
                (0, false) => flag::NEG_INFINITY,
                _ => flag::NAN,
            };
            return;
        }
        let magnitude = if field == 0 { fraction } else { fraction | 1 << 52 };
        let n = if x.is_sign_negative() { -magnitude } else { magnitude };
        self.add_scaled(n, LOWEST + (field - 1).max(0));
    }

    /// The sum of one number.
    pub fn of(x: f64) -> Self {
        let mut sum = Self::default();
        sum.add_number(x);
        sum
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        for (digit, part) in self.digits.iter_mut().zip(other.digits) {
            *digit += part;
        }
        self.flags |= other.flags;
        self.count(other.additions + 1);
    }

    /// Passes carries on before a digit can overflow.
    #[inline]
    fn count(&mut self, additions: u32) {
        self.additions += additions;
        if self.additions >= ADDITIONS {
            *self = self.carried();
        }
    }

    /// The same sum with every digit in [0, 2^32) but the last, which has the sign.
    fn carried(&self) -> Self {
        let mut sum = Self { additions: 1, ..*self };
        let mut carry = 0;
        for digit in &mut sum.digits[..DIGITS - 1] {
            let full = *digit + carry;
            *digit = full & MASK;
            carry = full >> DIGIT;
        }
        sum.digits[DIGITS - 1] += carry;
        sum
    }

    /// The sum, rounded once to the nearest, ties to even.
    pub fn value(self) -> f64 {
        match self.flags {
            0 => {}
            flag::INFINITY => return f64::INFINITY,
            flag::NEG_INFINITY => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        let sum = self.carried();
        if sum.digits[DIGITS - 1] >= 0 {
            return sum.round();
        }
        -Self { digits: sum.digits.map(|digit| -digit), ..sum }.carried().round()
    }

    /// The number nearest to a sum that is not negative and whose carries have been passed on.
    fn round(&self) -> f64 {
        let Some(top) = self.digits.iter().rposition(|&digit| digit != 0) else { return 0.0 };
        let digit = |i: usize| top.checked_sub(i).map_or(0, |at| self.digits[at] as u64);
        // 96 bits from the first digit on, 64 from the first bit on.
        let window = u128::from(digit(0)) << 64 | u128::from(digit(1)) << 32 | u128::from(digit(2));
        let zeros = window.leading_zeros();
        let window = window << zeros;
        let bits = (window >> 64) as u64;
        // The position of the first bit, from 2^-1074 on.
        let first = DIGIT * top as i32 + 63 - zeros as i32;
        if first < 52 {
            // Subnormal: all bits fit.
            return f64::from_bits(bits >> (63 - first));
        }
        let rest = (bits << 53) | u64::from(window as u64 != 0);
        let below = self.digits[..top.saturating_sub(2)].iter().any(|&digit| digit != 0);
        let rest = rest | u64::from(below);
        let mantissa = bits >> 11;
        let half = 1 << 63;
        let up = rest > half || (rest == half && mantissa & 1 == 1);
        // The mantissa's first bit adds the 1 that the exponent lacks; a carry out of it is right too.
        let number = ((first - 52) as u64) << 52;
        let number = number + mantissa + u64::from(up);
        f64::from_bits(number.min(f64::INFINITY.to_bits()))
    }

    /// The sum in bytes, equal for equal sums.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let digits = self.carried().digits;
        for (chunk, digit) in bytes.chunks_exact_mut(size_of::<i64>()).zip(digits) {
            chunk.copy_from_slice(&digit.to_le_bytes());
        }
        bytes[Self::BYTES - 1] = self.flags;
        bytes
    }

    /// The sum that [`Self::to_bytes`] wrote, if it did.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&flags, digits) = bytes.split_last()?;
        let (chunks, rest) = digits.as_chunks();
        if chunks.len() != DIGITS || !rest.is_empty() || flags > 7 {
            return None;
        }
        let mut sum = Self { flags, ..Self::default() };
        for (digit, &chunk) in sum.digits.iter_mut().zip(chunks) {
            *digit = i64::from_le_bytes(chunk);
        }
        let (&last, others) = sum.digits.split_last()?;
        let carried = others.iter().all(|digit| (0..=MASK).contains(digit));
        (carried && last.unsigned_abs() < 1 << DIGIT).then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(numbers: &[f64]) -> ExactSum {
        let mut total = ExactSum::default();
        numbers.iter().for_each(|&x| total.add_number(x));
        total
    }

    proptest! {
        #[test]
        fn a_number_comes_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            let back = total(&[x]).value();
            prop_assert!(back == x || back.is_nan() && x.is_nan());
        }

        #[test]
        fn two_numbers_are_rounded_as_the_processor_does(a in any::<u64>(), b in any::<u64>(), shift in -60_i32..60) {
            let a = f64::from_bits(a);
            // Near enough to meet.
            let b = f64::from_bits((b % (1 << 52)) | 1.0_f64.to_bits()) * a * 2.0_f64.powi(shift);
            for b in [b, -b] {
                let (exact, expected) = (total(&[a, b]).value(), a + b);
                prop_assert!(exact == expected || exact.is_nan() && expected.is_nan(), "{a:e} {b:e}: {exact:e}");
            }
        }

        #[test]
        fn neither_order_nor_cuts_change_a_bit(mut bits in prop::collection::vec(any::<u64>(), 0..60), cut in 0_usize..60) {
            bits.iter_mut().for_each(|bits| *bits &= !(1 << 62));
            let numbers: Vec<f64> = bits.iter().map(|&bits| f64::from_bits(bits)).collect();
            let whole = total(&numbers);
            let (head, tail) = numbers.split_at(cut.min(numbers.len()));
            let mut pieces = total(tail);
            pieces.merge(total(head));
            prop_assert_eq!(pieces, whole);
            prop_assert_eq!(pieces.to_bytes(), whole.to_bytes());
            prop_assert_eq!(ExactSum::from_bytes(&whole.to_bytes()), Some(whole));
            let mut backwards = numbers.clone();
            backwards.reverse();
            prop_assert_eq!(total(&backwards).value().to_bits(), whole.value().to_bits());
        }
    }

    #[test]
    fn what_rounding_would_lose_is_kept() {
        assert_eq!(total(&[1e308, 1.0, 5e-324, -1e308, -1.0]).value(), 5e-324);
        assert_eq!(total(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(total(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(total(&[f64::MIN, f64::MIN]).value(), f64::NEG_INFINITY);
        // Half of an ulp, and a little more far below.
        let half = f64::EPSILON / 2.0;
        assert_eq!(total(&[1.0, half]).value(), 1.0);
        assert_eq!(total(&[1.0, half, 5e-324]).value(), 1.0 + f64::EPSILON);
        assert_eq!(total(&[1.0, half, -5e-324]).value(), 1.0);
        assert_eq!(total(&[]).value().to_bits(), 0);
    }

    #[test]
    fn infinities_and_nan_are_kept_beside() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(total(&[1.0, inf, 1.0]).value(), inf);
        assert_eq!(total(&[-inf, f64::MAX]).value(), -inf);
        assert!(total(&[inf, -inf]).value().is_nan());
        assert!(total(&[1.0, nan]).value().is_nan());
    }

    #[test]
    fn carries_are_passed_on_in_time() {
        let mut sum = total(&[1.0]);
        for _ in 0..40 {
            sum.merge(sum);
        }
        assert_eq!(sum.value(), 2.0_f64.powi(40));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(ExactSum::from_bytes(&[]), None);
        assert_eq!(ExactSum::from_bytes(&[0; ExactSum::BYTES - 1]), None);
        assert_eq!(ExactSum::from_bytes(&[255; ExactSum::BYTES]), None);
        assert_eq!(ExactSum::from_bytes(&[0; ExactSum::BYTES]), Some(ExactSum::default()));
    }
}
