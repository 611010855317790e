//! The floating-point mode that results are promised for, whatever mode the calling thread is in.
//!
//! A library that was compiled for speed alone may have switched subnormal numbers off in a thread, or somebody may
//! have chosen another rounding. Neither must change bits, and compiled Rust takes the default for granted.

use std::arch::asm;
use std::hint::black_box;

/// Does work with rounding to nearest and with subnormal numbers as they are.
#[inline]
pub fn in_default_mode<T>(work: impl FnOnce() -> T) -> T {
    let _restored_later = Guard::new();
    // What is computed is there before the mode goes back: compilers move arithmetic across that.
    black_box(work())
}

/// Brings the thread's own mode back.
struct Guard(Option<Mode>);

impl Guard {
    #[inline]
    fn new() -> Self {
        let mode = read();
        if mode & !FLAGS == DEFAULT {
            return Self(None);
        }
        write(DEFAULT);
        Self(Some(mode))
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if let Self(Some(mode)) = self {
            write(*mode);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use super::asm;

    /// MXCSR.
    pub type Mode = u32;
    /// All exceptions masked, nothing else.
    pub const DEFAULT: Mode = 0x1f80;
    /// What happened before, which is no mode.
    pub const FLAGS: Mode = 0x3f;

    #[inline]
    pub fn read() -> Mode {
        let mut mode = 0;
        // SAFETY: SSE is part of x86-64; the register is written to a variable of its size.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    #[inline]
    pub fn write(mode: Mode) {
        // SAFETY: a mode that was read before, or the default. That memory may change, as the compiler must assume,
        // keeps what is computed from memory on its side.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use super::asm;

    /// FPCR.
    pub type Mode = u64;
    /// Nothing is set.
    pub const DEFAULT: Mode = 0;
    /// Flags stand elsewhere.
    pub const FLAGS: Mode = 0;

    #[inline]
    pub fn read() -> Mode {
        let mode;
        // SAFETY: reads the register.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nostack, preserves_flags)) };
        mode
    }

    #[inline]
    pub fn write(mode: Mode) {
        // SAFETY: a mode that was read before, or the default. That memory may change, as the compiler must assume,
        // keeps what is computed from memory on its side.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    /// Unknown, and left as it is.
    pub type Mode = u32;
    pub const DEFAULT: Mode = 0;
    pub const FLAGS: Mode = 0;

    pub fn read() -> Mode {
        DEFAULT
    }

    pub fn write(_: Mode) {}
}

use register::{DEFAULT, FLAGS, Mode, read, write};

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::{DEFAULT, FLAGS, black_box, in_default_mode, read, write};

    /// Subnormal numbers off.
    const FLUSHING: super::Mode = if cfg!(target_arch = "x86_64") { 0x9fc0 } else { 1 << 24 };

    #[test]
    fn subnormal_numbers_are_there_and_the_mode_comes_back() {
        let half = || black_box(black_box(f32::MIN_POSITIVE) * black_box(0.5));
        write(FLUSHING);
        let flushed = half();
        let kept = in_default_mode(half);
        let after = read() & !FLAGS;
        write(DEFAULT);
        assert_eq!(flushed, 0.0);
        assert_eq!(kept, f32::MIN_POSITIVE / 2.0);
        assert_eq!(after, FLUSHING & !FLAGS);
    }
}
