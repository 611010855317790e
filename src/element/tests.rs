use super::*;
use crate::simd::AnyIsa;

#[test]
fn wide_integers_become_the_nearest_float64() {
    let mut numbers = vec![0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0xFFFF_FFFF, 1 << 32];
    for bit in 0..64 {
        for around in [0, 1, 2, 3, 511, 512, 513, 1023, 1024, 1025, 1536, 0x8000_0000] {
            numbers.extend([(1_u64 << bit).wrapping_add(around), (1_u64 << bit).wrapping_sub(around)]);
        }
    }
    numbers.extend((0..10_000_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (i % 64)));
    let mut found = vec![0.0_f64; numbers.len()];
    for isa in AnyIsa::available() {
        // SAFETY: both arrays hold as many elements.
        let mut widen = |dtype: DType| unsafe {
            dtype.widen::<f64>()(isa, numbers.as_ptr().cast(), found.as_mut_ptr(), numbers.len());
            found.clone()
        };
        let (unsigned, signed) = (widen(DType::UInt64), widen(DType::Int64));
        for (i, &number) in numbers.iter().enumerate() {
            assert_eq!(unsigned[i].to_bits(), (number as f64).to_bits(), "{number}");
            assert_eq!(signed[i].to_bits(), (number.cast_signed() as f64).to_bits(), "{number:#x}");
        }
    }
}

type Number = fn(u16) -> f32;
type Nearest = fn(f32) -> u16;

/// Every bit pattern of a half type, through every instruction set, against the `half` crate.
#[test]
fn half_types_become_the_same_float32() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let mut found = vec![0.0_f32; bits.len()];
    let reference: [(DType, Number); 2] = [
        (DType::Float16, |bits| half::f16::from_bits(bits).to_f32()),
        (DType::BFloat16, |bits| half::bf16::from_bits(bits).to_f32()),
    ];
    for isa in AnyIsa::available() {
        for (dtype, exact) in reference {
            // SAFETY: both arrays hold as many elements.
            unsafe { dtype.widen::<f32>()(isa, bits.as_ptr().cast(), found.as_mut_ptr(), bits.len()) };
            for (&bits, found) in bits.iter().zip(&found) {
                let exact = exact(bits);
                let same = exact.to_bits() == found.to_bits() || exact.is_nan() && found.is_nan();
                assert!(same, "{} {bits:#06x}: {found} for {exact}", dtype.name());
            }
        }
    }
}

/// Float32 around every number of a half type, halfway to its neighbours above all.
#[test]
fn results_are_rounded_to_half_types_once() {
    let kinds: [(DType, Number, Nearest); 2] = [
        (DType::Float16, |x| half::f16::from_bits(x).to_f32(), |x| half::f16::from_f32(x).to_bits()),
        (DType::BFloat16, |x| half::bf16::from_bits(x).to_f32(), |x| half::bf16::from_f32(x).to_bits()),
    ];
    for (dtype, number, nearest) in kinds {
        let mut numbers: Vec<f32> = Vec::new();
        for bits in 0..=u16::MAX {
            let (here, next) = (number(bits), number(bits.wrapping_add(1)));
            let middle = ((f64::from(here) + f64::from(next)) / 2.0) as f32;
            numbers.extend([here, middle, middle.next_up(), middle.next_down()]);
        }
        numbers.extend([65519.996, 65520.0, 65536.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45]);
        let mut found = vec![0_u16; numbers.len()];
        for isa in AnyIsa::available() {
            let narrow = dtype.narrow::<f32>().expect("a half type");
            // SAFETY: both arrays hold as many elements.
            unsafe { narrow(isa, numbers.as_ptr(), found.as_mut_ptr().cast(), numbers.len()) };
            for (&x, &bits) in numbers.iter().zip(&found) {
                let same = bits == nearest(x) || x.is_nan() && number(bits).is_nan();
                assert!(same, "{} {x:e}: {bits:#06x} for {:#06x}", dtype.name(), nearest(x));
            }
        }
    }
}
