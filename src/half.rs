//! The two 16-bit floating-point types: how they become float32 and back by arithmetic.

/// The bits of an IEEE half-precision number: 1 of sign, 5 of exponent, 10 of fraction.
///
/// Where an instruction set has no conversions of its own, both are plain arithmetic without branches, which the
/// compiler turns into vectors; the bits are the same but for those of NaN. The method is that of M. Dukhan's FP16
/// library.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Float16(pub u16);

impl Float16 {
    /// The same number.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let bits = u32::from(self.0) << 16;
        let sign = bits & 0x8000_0000;
        let magnitude = bits << 1;
        // Exponent and fraction in their places, the exponent 2^112 too large, infinity's too: the product makes it
        // right, and infinities and NaNs stay what they are.
        let normal = f32::from_bits((magnitude >> 4) + (0xE0 << 23)) * f32::from_bits(0x0780_0000);
        // A subnormal number n 2^-24 is 0.5 + n 2^-24 less 0.5.
        let subnormal = f32::from_bits((magnitude >> 17) | (126 << 23)) - 0.5;
        let magnitude = if magnitude < 1 << 27 { subnormal } else { normal };
        f32::from_bits(sign | magnitude.to_bits())
    }

    /// The nearest number of this type, ties to even.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        // 2^112 2^-110 = 4, but what overflows in the first product stays infinite.
        let scaled = (x.abs() * f32::from_bits(0x7780_0000)) * f32::from_bits(0x0880_0000);
        let bits = x.to_bits();
        let magnitude = bits << 1;
        // Adding a power of two 2^15 times as large as the number's own lets the addition round at the right place:
        // at 10 bits of fraction, or at 2^-24 for subnormal results.
        let exponent = (magnitude & 0xFF00_0000).max(0x7100_0000);
        let rounded = (f32::from_bits((exponent >> 1) + 0x0780_0000) + scaled).to_bits();
        let finite = ((rounded >> 13) & 0x7C00) + (rounded & 0x0FFF);
        let magnitude = if magnitude > 0xFF00_0000 { 0x7E00 } else { finite };
        Self(((bits >> 16) & 0x8000 | magnitude) as u16)
    }
}

/// The bits of a bfloat16 number: the upper half of a float32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BFloat16(pub u16);

impl BFloat16 {
    /// The same number.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest number of this type, ties to even.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let is_nan = bits << 1 > 0xFF00_0000;
        // Half of the last place that stays, less one unless that place is odd: carries upwards where it must.
        let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
        Self(if is_nan { (bits >> 16) | 0x0040 } else { rounded } as u16)
    }
}
