//! Turning rows into columns, for kernels whose lanes lie across rows.

/// Writes `source[r * source_pitch + c]` to `target[c * target_pitch + r]`.
///
/// # Safety
/// For every r below `rows` and c below `columns` the element of `source` must be valid for reading and
/// that of `target` for writing, both aligned to `T`; they must not overlap.
#[inline(always)]
pub unsafe fn transpose<T: Copy>(
    source: *const T,
    source_pitch: isize,
    target: *mut T,
    target_pitch: isize,
    rows: usize,
    columns: usize,
) {
    // SAFETY: handed through from the caller.
    unsafe {
        match (columns, source_pitch, rows, target_pitch) {
            (2, 2, ..) => return apart::<T, 2>(source, target, target_pitch, rows),
            (3, 3, ..) => return apart::<T, 3>(source, target, target_pitch, rows),
            (.., 2, 2) => return together::<T, 2>(source, source_pitch, target, columns),
            (.., 3, 3) => return together::<T, 3>(source, source_pitch, target, columns),
            _ => {}
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        let edge = 16 / size_of::<T>().max(1);
        if matches!(edge, 2 | 4) && rows >= edge && columns >= edge {
            // SAFETY: handed through from the caller.
            unsafe { by_blocks(edge, source, source_pitch, target, target_pitch, rows, columns) };
            return;
        }
    }
    for c in 0..columns as isize {
        for r in 0..rows as isize {
            // SAFETY: handed through from the caller.
            unsafe { *target.offset(c * target_pitch + r) = *source.offset(r * source_pitch + c) };
        }
    }
}

/// Rows of N elements, one after the other. A loop that the compiler knows how to vectorise.
///
/// # Safety
/// As [`transpose`].
#[inline(always)]
unsafe fn apart<T: Copy, const N: usize>(source: *const T, target: *mut T, target_pitch: isize, rows: usize) {
    for r in 0..rows {
        for c in 0..N {
            // SAFETY: handed through from the caller.
            unsafe { *target.offset(c as isize * target_pitch).add(r) = *source.add(r * N + c) };
        }
    }
}

/// The reverse of [`apart`].
///
/// # Safety
/// As [`transpose`].
#[inline(always)]
unsafe fn together<T: Copy, const N: usize>(
    source: *const T,
    source_pitch: isize,
    target: *mut T,
    columns: usize,
) {
    for c in 0..columns {
        for r in 0..N {
            // SAFETY: handed through from the caller.
            unsafe { *target.add(c * N + r) = *source.offset(r as isize * source_pitch).add(c) };
        }
    }
}

/// By square blocks; the last ones overlap those before, whose elements they write once more.
///
/// # Safety
/// As [`transpose`]; `edge` must be 16 bytes of elements, and no more than `rows` and `columns`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn by_blocks<T: Copy>(
    edge: usize,
    source: *const T,
    source_pitch: isize,
    target: *mut T,
    target_pitch: isize,
    rows: usize,
    columns: usize,
) {
    let mut r = 0;
    while r < rows {
        let row = r.min(rows - edge) as isize;
        // SAFETY: the blocks lie within the rows and columns that the caller vouches for.
        unsafe {
            let from = source.offset(row * source_pitch);
            let mut to = target.offset(row);
            let mut c = 0;
            while c + edge <= columns {
                block(edge, from.add(c), source_pitch, to, target_pitch);
                to = to.wrapping_offset(edge as isize * target_pitch);
                c += edge;
            }
            if c < columns {
                let last = columns - edge;
                let to = target.offset(last as isize * target_pitch + row);
                block(edge, from.add(last), source_pitch, to, target_pitch);
            }
        }
        r += edge;
    }
}

/// A square block.
///
/// # Safety
/// As [`by_blocks`], for `edge` rows and columns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block<T: Copy>(
    edge: usize,
    source: *const T,
    source_pitch: isize,
    target: *mut T,
    target_pitch: isize,
) {
    // SAFETY: the memory is the caller's word; T has the size of the block's type, and any bits are moved as they are.
    unsafe {
        if edge == 4 {
            block4(source.cast(), source_pitch, target.cast(), target_pitch);
        } else {
            block2(source.cast(), source_pitch, target.cast(), target_pitch);
        }
    }
}

/// # Safety
/// Four rows of four elements must be valid for reading at `source`, as many for writing at `target`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block4(source: *const f32, source_pitch: isize, target: *mut f32, target_pitch: isize) {
    use core::arch::x86_64::{
        _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps,
    };
    // SAFETY: the memory is the caller's word; SSE is part of x86-64.
    unsafe {
        let a = _mm_loadu_ps(source);
        let b = _mm_loadu_ps(source.offset(source_pitch));
        let c = _mm_loadu_ps(source.offset(2 * source_pitch));
        let d = _mm_loadu_ps(source.offset(3 * source_pitch));
        let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        _mm_storeu_ps(target, _mm_movelh_ps(ab_low, cd_low));
        _mm_storeu_ps(target.offset(target_pitch), _mm_movehl_ps(cd_low, ab_low));
        _mm_storeu_ps(target.offset(2 * target_pitch), _mm_movelh_ps(ab_high, cd_high));
        _mm_storeu_ps(target.offset(3 * target_pitch), _mm_movehl_ps(cd_high, ab_high));
    }
}

/// # Safety
/// Two rows of two elements must be valid for reading at `source`, as many for writing at `target`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block2(source: *const f64, source_pitch: isize, target: *mut f64, target_pitch: isize) {
    use core::arch::x86_64::{_mm_loadu_pd, _mm_storeu_pd, _mm_unpackhi_pd, _mm_unpacklo_pd};
    // SAFETY: the memory is the caller's word; SSE2 is part of x86-64.
    unsafe {
        let a = _mm_loadu_pd(source);
        let b = _mm_loadu_pd(source.offset(source_pitch));
        _mm_storeu_pd(target, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(target.offset(target_pitch), _mm_unpackhi_pd(a, b));
    }
}

#[cfg(test)]
mod tests {
    use super::transpose;

    fn check<T: Copy + PartialEq + Default + std::fmt::Debug>(from: impl Fn(u32) -> T) {
        let source: Vec<T> = (0..3000).map(from).collect();
        for rows in 0..14 {
            for columns in 0..14 {
                for gap in [0, 3] {
                    let (source_pitch, target_pitch) = (columns + gap, rows + gap);
                    let mut target = vec![T::default(); 3000];
                    // SAFETY: less than 14 times 17 elements of 3000.
                    unsafe {
                        transpose(
                            source.as_ptr().add(1),
                            source_pitch as isize,
                            target.as_mut_ptr().add(1),
                            target_pitch as isize,
                            rows,
                            columns,
                        );
                    }
                    for (i, got) in target.iter().enumerate() {
                        let place = i.wrapping_sub(1);
                        let (c, r) = (place / target_pitch.max(1), place % target_pitch.max(1));
                        let inside = i > 0 && c < columns && r < rows;
                        let expected = if inside { source[1 + r * source_pitch + c] } else { T::default() };
                        assert_eq!(*got, expected, "{rows} x {columns}, element {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_element_finds_its_place() {
        check(|i| i + 1);
        check(|i| u64::from(i) + 1);
        check(|i| i as u16 + 1);
    }
}
