//! The caches of this machine: how much they hold, and memory that they are asked for.

use std::fs;
use std::sync::OnceLock;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Asks for a cache line ahead of its use, for the first-level cache or, if `FAR`, for the next.
#[inline(always)]
pub fn prefetch<const FAR: bool>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which never faults; SSE is part of x86-64.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if FAR {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        } else {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Bytes between what a loop over a run works on and the memory that it asks for meanwhile: about as long as memory takes
/// to answer. The processor foresees a run by itself, but not beyond the page that it is in.
const AHEAD: usize = 3072;

/// Asks for so many bytes of a run, a little ahead of `here`. It costs little where the run ends before.
#[inline(always)]
pub fn prefetch_ahead(here: *const u8, bytes: usize) {
    prefetch_run::<false>(here.wrapping_add(AHEAD), bytes);
}

/// Asks for the lines of a run of memory, as [`prefetch`].
#[inline(always)]
pub fn prefetch_run<const FAR: bool>(start: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(LINE) {
        prefetch::<FAR>(start.wrapping_add(line * LINE));
    }
}

/// Memory of the next tile, to be asked for while this one is worked on: runs of steps, a step for each element.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead {
    runs: [Option<(usize, usize)>; Self::MOST],
    count: usize,
}

impl Ahead {
    /// More runs are not asked for.
    const MOST: usize = 6;

    /// Adds a run that starts there, of that many bytes for each element. What is further apart than cache lines is
    /// left out: to ask for it takes longer than it gains.
    pub fn add(&mut self, start: *const u8, step: usize) {
        if self.count < Self::MOST && (1..=LINE).contains(&step) {
            self.runs[self.count] = Some((start.addr(), step));
            self.count += 1;
        }
    }

    /// Whether there are any runs.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Asks for what belongs to so many elements from `at` on.
    #[inline]
    pub fn ask(&self, at: usize, elements: usize) {
        for (start, step) in self.runs.iter().map_while(|run| *run) {
            let start = std::ptr::without_provenance::<u8>(start).wrapping_add(at * step);
            prefetch_run::<false>(start, elements * step);
        }
    }
}

/// What is assumed where the system does not say.
const ASSUMED: usize = 32 << 20;

/// Bytes of the last-level cache.
pub fn last_level() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let levels = (0..8).map(|i| format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size"));
        levels
            .map_while(|path| fs::read_to_string(path).ok())
            .filter_map(|size| parse(&size))
            .max()
            .unwrap_or(ASSUMED)
    })
}

/// A size as Linux writes it: `32768K`.
fn parse(size: &str) -> Option<usize> {
    let size = size.trim();
    let (digits, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_read_as_linux_writes_them() {
        assert_eq!(parse("48K\n"), Some(48 << 10));
        assert_eq!(parse("32M"), Some(32 << 20));
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("much"), None);
        assert_eq!(parse(""), None);
    }
}
