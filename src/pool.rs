//! The only door to threads: a private pool of workers.
//!
//! Workers do not survive a fork, and a pool that has lost them hangs for ever. So the pool is keyed by
//! process: a child finds the door locked to it, leaves the parent's pool where it is, and builds its
//! own. Nothing is started before it is needed.

use std::cell::Cell;
use std::num::NonZero;
use std::ops::Range;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// The most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// Threads asked for; 0 until somebody does.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The most threads that calls from this thread may use.
    static LIMIT: Cell<usize> = const { Cell::new(MAX_THREADS) };
}

/// The pool of the process that last came by.
static DOOR: AtomicPtr<Door> = AtomicPtr::new(ptr::null_mut());

struct Door {
    process: u32,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

/// The number of threads that large calls from this thread use.
pub fn threads() -> usize {
    threads_of_process().min(LIMIT.get())
}

/// Lets large calls from this thread use no more than so many threads, whatever is set for the process, and gives the
/// limit that there was. Schedulers that run many calls side by side need that: a number for the whole process would
/// also slow down calls that are none of theirs.
///
/// # Errors
/// If the number is out of range.
pub fn limit_this_thread(threads: usize) -> Result<usize, Error> {
    check(threads)?;
    Ok(LIMIT.replace(threads))
}

/// The number of threads for the process: what was set, else what it may run on.
pub fn threads_of_process() -> usize {
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
    check(threads)?;
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

fn check(threads: usize) -> Result<(), Error> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(Error::value("n", threads, format!("a number of threads from 1 to {MAX_THREADS}")))
}

/// `work(i)` for every i in order. The calling thread works with the others, which have yet to wake up. No more threads take part than there are `each` pieces for, which must not be 0.
///
/// # Errors
/// If the workers cannot be started.
pub fn map<T, F>(pieces: Range<usize>, each: usize, work: F) -> Result<Vec<T>, Error>
where
    T: Send,
    F: Fn(usize) -> T + Sync,
{
    let all = threads();
    let threads = all.min(pieces.len() / each);
    if threads <= 1 {
        return Ok(pieces.map(work).collect());
    }
    let pool = pool(all - 1)?;
    let done = Mutex::new(Vec::with_capacity(pieces.len()));
    let left = AtomicUsize::new(pieces.start);
    let take_part = || {
        let mut own = Vec::new();
        while let Some(share) = share(&left, pieces.end, threads) {
            own.extend(share.map(|i| (i, work(i))));
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
    };
    pool.in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| take_part());
        }
        take_part();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|&(i, _)| i);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The next pieces for one of so many threads: a part of what is left that grows smaller, so that each has long runs
/// of memory and all end together.
fn share(left: &AtomicUsize, end: usize, threads: usize) -> Option<Range<usize>> {
    let size = |at: usize| ((end - at) / (2 * threads)).max(1);
    let taken =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| (at < end).then(|| at + size(at)));
    taken.ok().map(|at| at..at + size(at))
}

/// The pool of this process with that many workers, built if need be.
fn pool(workers: usize) -> Result<Arc<ThreadPool>, Error> {
    let mut slot = door().pool.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = slot.as_ref().filter(|pool| pool.current_num_threads() == workers) {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(workers)
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
            assert_eq!(map(5..100, 1, |i| i * i).unwrap(), (5..100).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_limit_holds_for_one_thread() {
        let before = limit_this_thread(1).unwrap();
        assert_eq!((before, threads()), (MAX_THREADS, 1));
        let ids = map(0..64, 1, |_| std::thread::current().id()).unwrap();
        assert!(ids.into_iter().all(|id| id == std::thread::current().id()));
        let elsewhere = std::thread::spawn(|| (threads(), threads_of_process())).join().unwrap();
        assert_eq!(elsewhere.0, elsewhere.1);
        assert!(limit_this_thread(0).is_err());
        assert_eq!(limit_this_thread(before).unwrap(), 1);
    }

    #[test]
    fn numbers_of_threads_out_of_range_are_refused() {
        assert!(set_threads(0).is_err());
        assert!(set_threads(MAX_THREADS + 1).unwrap_err().to_string().contains("from 1 to 1024"));
    }
}
