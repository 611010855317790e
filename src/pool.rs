//! The only door to threads: a private pool of workers.
//!
//! Workers do not survive a fork, and a pool that has lost them hangs for ever. So the pool is keyed by
//! process: a child finds the door locked to it, leaves the parent's pool where it is, and builds its
//! own. Nothing is started before it is needed.

use std::num::NonZero;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// The most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// Threads asked for; 0 until somebody does.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The pool of the process that last came by.
static DOOR: AtomicPtr<Door> = AtomicPtr::new(ptr::null_mut());

struct Door {
    process: u32,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

/// The number of threads that large calls use: what was set, else what the process may run on.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let found = available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
            // Whoever sets a number at the same time wins.
            let _ = THREADS.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed);
            THREADS.load(Ordering::Relaxed)
        }
        set => set,
    }
}

/// Sets the number of threads, from 1 to [`MAX_THREADS`].
///
/// # Errors
/// If the number is out of range.
pub fn set_threads(threads: usize) -> Result<(), Error> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(Error::value("n", threads, format!("a number of threads from 1 to {MAX_THREADS}")));
    }
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

/// `work(i)` for every i in order, computed by the pool; by the calling thread alone if one thread is
/// set or there is only one piece.
///
/// # Errors
/// If the workers cannot be started.
pub fn map<T, F>(pieces: std::ops::Range<usize>, work: F) -> Result<Vec<T>, Error>
where
    T: Send,
    F: Fn(usize) -> T + Sync,
{
    let threads = threads();
    if threads == 1 || pieces.len() <= 1 {
        return Ok(pieces.map(work).collect());
    }
    let pool = pool(threads)?;
    Ok(pool.install(|| pieces.into_par_iter().map(&work).collect()))
}

/// The pool of this process with that many threads, built if need be.
fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    let mut slot = door().pool.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = slot.as_ref().filter(|pool| pool.current_num_threads() == threads) {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("focalgrad-{i}"))
        .build()
        .map(Arc::new)
        .map_err(|error| Error::Threads(error.to_string()))?;
    *slot = Some(Arc::clone(&pool));
    Ok(pool)
}

/// This process' door. A lock that another thread held during a fork is never looked at again.
fn door() -> &'static Door {
    let process = process::id();
    let current = DOOR.load(Ordering::Acquire);
    // SAFETY: doors are leaked when they are hung, so a pointer that is not null stays valid.
    if let Some(door) = unsafe { current.as_ref() }.filter(|door| door.process == process) {
        return door;
    }
    let fresh = Box::into_raw(Box::new(Door { process, pool: Mutex::new(None) }));
    match DOOR.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just leaked.
        Ok(_) => unsafe { &*fresh },
        Err(theirs) => {
            // SAFETY: nobody else has seen `fresh`; `theirs` was hung by another thread of this
            // process (a child starts with one thread), and is never freed.
            unsafe {
                drop(Box::from_raw(fresh));
                &*theirs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            set_threads(threads).unwrap();
            assert_eq!(map(5..100, |i| i * i).unwrap(), (5..100).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_of_threads_out_of_range_are_refused() {
        assert!(set_threads(0).is_err());
        assert!(set_threads(MAX_THREADS + 1).unwrap_err().to_string().contains("from 1 to 1024"));
    }
}
