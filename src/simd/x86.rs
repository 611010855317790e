//! What the x86 instruction sets share: one body for all their vectors, which differ in the names of
//! their intrinsics alone.

macro_rules! x86_vector {
    (
        $(#[$doc:meta])* $name:ident of $isa:ident: $real:ident x $lanes:literal in $register:ident, mask $mask:ident,
        $splat:ident $load:ident $store:ident $stream:ident $add:ident $sub:ident $mul:ident $div:ident
        $fmadd:ident $fnmadd:ident $fmsub:ident $max:ident $min:ident $abs:ident $xor:ident $and:ident
        $to_bits:ident $from_bits:ident $add_bits:ident $shift:ident $shift_right:ident by $mantissa:literal $or_bits:ident
        $cmp:ident $is_negative:ident $either:ident $select:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name($register);

        $crate::simd::x86::x86_operator!($name Add::add $add);
        $crate::simd::x86::x86_operator!($name Sub::sub $sub);
        $crate::simd::x86::x86_operator!($name Mul::mul $mul);
        $crate::simd::x86::x86_operator!($name Div::div $div);

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: a vector exists only where its instruction set does.
                unsafe { Self($xor(self.0, $splat(-0.0))) }
            }
        }

        // Every `unsafe` below calls intrinsics of the instruction set; a vector, or the token that a
        // constructor takes, exists only where the processor has them.
        impl Vector for $name {
            type Isa = $isa;
            type Real = $real;
            type Mask = $mask;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn isa(self) -> $isa {
                $isa(())
            }
            #[inline(always)]
            fn splat(_: $isa, x: $real) -> Self {
                // SAFETY: the token proves the instruction set.
                unsafe { Self($splat(x)) }
            }
            #[inline(always)]
            unsafe fn load(_: $isa, source: *const $real) -> Self {
                // SAFETY: the token proves the instruction set, the caller the memory.
                unsafe { Self($load(source)) }
            }
            #[inline(always)]
            unsafe fn store(self, target: *mut $real) {
                // SAFETY: the vector proves the instruction set, the caller the memory.
                unsafe { $store(target, self.0) }
            }
            #[inline(always)]
            unsafe fn stream(self, target: *mut $real) {
                // SAFETY: the vector proves the instruction set, the caller the memory.
                unsafe { $stream(target, self.0) }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($fmadd(self.0, b.0, c.0)) }
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($fnmadd(self.0, b.0, c.0)) }
            }
            #[inline(always)]
            fn product_error(self, b: Self, product: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($fmsub(self.0, b.0, product.0)) }
            }
            #[inline(always)]
            fn max_or(self, other: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($max(self.0, other.0)) }
            }
            #[inline(always)]
            fn min_or(self, other: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($min(self.0, other.0)) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($abs(self.0)) }
            }
            #[inline(always)]
            fn add_exponent(self, shifted: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($from_bits($add_bits($to_bits(self.0), $shift::<$mantissa>($to_bits(shifted.0))))) }
            }
            #[inline(always)]
            fn biased_exponent(self) -> Self {
                let integer = Self::splat(self.isa(), <$real>::INTEGER);
                // SAFETY: the vector proves the instruction set.
                let sum = unsafe {
                    Self($from_bits($or_bits(
                        $shift_right::<$mantissa>($to_bits(self.0)),
                        $to_bits(integer.0),
                    )))
                };
                sum - integer
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($from_bits($add_bits($to_bits(self.0), $to_bits(other.0)))) }
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                // SAFETY: the vector proves the instruction set.
                unsafe { $cmp::<_CMP_LT_OQ>(self.0, other.0) }
            }
            #[inline(always)]
            fn equals(self, other: Self) -> $mask {
                // SAFETY: the vector proves the instruction set.
                unsafe { $cmp::<_CMP_EQ_OQ>(self.0, other.0) }
            }
            #[inline(always)]
            fn is_negative(self) -> $mask {
                // SAFETY: the vector proves the instruction set.
                unsafe { $is_negative(self.0) }
            }
            #[inline(always)]
            fn flip(self, sign: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($xor(self.0, $and(sign.0, $splat(-0.0)))) }
            }
            #[inline(always)]
            fn either(a: $mask, b: $mask) -> $mask {
                // SAFETY: only vectors make masks.
                unsafe { $either(a, b) }
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                // SAFETY: the vector proves the instruction set.
                unsafe { Self($select(mask, yes.0, no.0)) }
            }
        }
    };
}

/// One arithmetic operator of an x86 vector.
macro_rules! x86_operator {
    ($name:ident $trait:ident :: $method:ident $intrinsic:ident) => {
        impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: a vector exists only where its instruction set does.
                unsafe { Self($intrinsic(self.0, other.0)) }
            }
        }
    };
}
pub(super) use {x86_operator, x86_vector};
