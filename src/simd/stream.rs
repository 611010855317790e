//! Copying past the caches, for outputs that no cache will hold.

/// Copies elements with streaming stores where the processor has them.
///
/// Ordinary stores first read the line that they are about to overwrite; streaming stores do not,
/// and leave the caches to those who need them. They may be seen late by other threads: [`fence`]
/// follows the last of them.
///
/// # Safety
/// `source` must be valid for reading and `target` for writing `len` elements, both aligned to `T`,
/// and they must not overlap.
#[inline]
pub unsafe fn stream<T: Copy>(source: *const T, target: *mut T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: handed through from the caller.
    unsafe {
        stream_x86(source, target, len)
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: handed through from the caller.
    unsafe {
        std::ptr::copy_nonoverlapping(source, target, len)
    }
}

/// Orders the streaming stores of this thread, which the memory model of the language does not know,
/// before everything that follows.
#[inline]
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

/// # Safety
/// As [`stream`].
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn stream_x86<T: Copy>(source: *const T, target: *mut T, len: usize) {
    use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    use std::ptr::copy_nonoverlapping;

    use crate::cache::LINE;

    const PART: usize = size_of::<__m128i>();
    let (source, target) = (source.cast::<u8>(), target.cast::<u8>());
    let bytes = len * size_of::<T>();
    let head = target.align_offset(LINE).min(bytes);
    let lines = (bytes - head) / LINE;
    // SAFETY: all accesses stay below `bytes`; `target + head` is aligned to a line, so every part
    // of a line is aligned to 16 bytes; SSE2 is part of x86-64.
    unsafe {
        copy_nonoverlapping(source, target, head);
        for line in 0..lines {
            let at = head + line * LINE;
            for part in 0..LINE / PART {
                let bits = _mm_loadu_si128(source.add(at + part * PART).cast());
                _mm_stream_si128(target.add(at + part * PART).cast(), bits);
            }
        }
        let done = head + lines * LINE;
        copy_nonoverlapping(source.add(done), target.add(done), bytes - done);
    }
}

#[cfg(test)]
mod tests {
    use super::stream;

    #[test]
    fn copies_every_element_and_no_other() {
        let source: Vec<u32> = (1..=300).collect();
        for offset in 0..20 {
            for len in (0..70).chain([255, 256, 257, 280]) {
                let mut target = vec![0_u32; 300];
                // SAFETY: offset + len stays below 300 in both.
                unsafe { stream(source.as_ptr().add(7), target.as_mut_ptr().add(offset), len.min(280)) };
                let len = len.min(280);
                assert_eq!(target[offset..offset + len], source[7..7 + len]);
                assert!(target[..offset].iter().chain(&target[offset + len..]).all(|&x| x == 0));
            }
        }
    }
}
