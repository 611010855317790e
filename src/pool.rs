//! The only door to threads: a private pool of workers.
//!
//! Workers do not survive a fork, and a pool that has lost them hangs for ever. So the pool is keyed by
//! process: a child finds the door locked to it, leaves the parent's pool where it is, and builds its
//! own. Nothing is started before it is needed.
//!
//! A system may have no more threads to give, or no memory for their stacks. Threads are therefore started first, one
//! after the other, and the pool is made of those that could be: of all, of some, or of none, and then the calling thread
//! does the work alone. Results are the same.

use std::cell::Cell;
use std::hint::black_box;
use std::io::ErrorKind::BrokenPipe;
use std::num::NonZero;
use std::ops::Range;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, available_parallelism};

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// The most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// Bytes of a worker's stack. Kernels keep some tiles there, 100 kB at most.
const STACK: usize = 1 << 20;

/// Bytes that a new thread takes before it can say that there are none: its allocator's first arena, and what is local
/// to it. The C library ends the process if it cannot have them.
const START: usize = 1 << 19;

/// Bytes, more than a call needs to hand work to the pool.
const HAND_OUT: usize = 1 << 16;

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
    workers: Mutex<Option<Workers>>,
}

/// Threads that were started, and how many were asked for.
struct Workers {
    asked: usize,
    /// None if not even one could be started.
    pool: Option<Arc<ThreadPool>>,
    handles: Vec<JoinHandle<()>>,
}

/// The number of threads that large calls from this thread are to use.
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

/// The number of threads that large calls do use, with the calling one: fewer than
/// [`threads_of_process`] if the last call that needed them could not start them all.
pub fn threads_in_use() -> usize {
    let asked = threads_of_process();
    let workers = door().workers.lock().unwrap_or_else(PoisonError::into_inner);
    workers.as_ref().filter(|workers| workers.asked == asked - 1).map_or(asked, |workers| workers.count() + 1)
}

/// Sets the number of threads, from 1 to [`MAX_THREADS`]. Workers of another number end at once, those of a call that is
/// under way with it. Those that could not be started are tried again.
///
/// # Errors
/// If the number is out of range.
pub fn set_threads(threads: usize) -> Result<(), Error> {
    check(threads)?;
    THREADS.store(threads, Ordering::Relaxed);
    let mut slot = door().workers.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.as_ref().is_some_and(|workers| workers.count() != threads - 1)
        && let Some(workers) = slot.take()
    {
        workers.end();
    }
    Ok(())
}

fn check(threads: usize) -> Result<(), Error> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(Error::value("n", threads, format!("a number of threads from 1 to {MAX_THREADS}")))
}

/// `work(i)` for every i in order. The calling thread works with the others, which have yet to wake up. No more threads
/// take part than there are `each` pieces for, which must not be 0.
///
/// # Errors
/// That of the first piece that gives one, and [`Error::Memory`] if there is no room for their results.
pub fn map<T, F>(pieces: Range<usize>, each: usize, work: F) -> Result<Vec<T>, Error>
where
    T: Send + Sync,
    F: Fn(usize) -> Result<T, Error> + Sync,
{
    let threads = threads().min(pieces.len() / each);
    let pool = if threads <= 1 { None } else { pool(threads_of_process() - 1) };
    // What the pool asks for, it must get.
    let Some(pool) = pool.filter(|_| there_is(HAND_OUT)) else {
        let mut all = room(pieces.len())?;
        for i in pieces {
            all.push(work(i)?);
        }
        return Ok(all);
    };
    let threads = threads.min(pool.current_num_threads() + 1);
    let (mut results, mut all) = (room(pieces.len())?, room(pieces.len())?);
    results.resize_with(pieces.len(), OnceLock::new);
    let left = AtomicUsize::new(pieces.start);
    let take_part = || {
        while let Some(share) = share(&left, pieces.end, threads) {
            for i in share {
                // Nobody else has this piece.
                let _ = results[i - pieces.start].set(work(i));
            }
        }
    };
    pool.in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| take_part());
        }
        take_part();
    });
    for result in results.into_iter().filter_map(OnceLock::into_inner) {
        all.push(result?);
    }
    Ok(all)
}

/// An empty list with room for so many.
fn room<T>(len: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| Error::NO_MEMORY)?;
    Ok(list)
}

/// The next pieces for one of so many threads: a part of what is left that grows smaller, so that each has long runs
/// of memory and all end together.
fn share(left: &AtomicUsize, end: usize, threads: usize) -> Option<Range<usize>> {
    let size = |at: usize| ((end - at) / (2 * threads)).max(1);
    let taken =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| (at < end).then(|| at + size(at)));
    taken.ok().map(|at| at..at + size(at))
}

/// The pool of this process with that many workers, or as many of them as can be started; none if that is none.
fn pool(workers: usize) -> Option<Arc<ThreadPool>> {
    let mut slot = door().workers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = slot.as_ref().filter(|found| found.asked == workers) {
        return found.pool.clone();
    }
    if let Some(others) = slot.take() {
        others.end();
    }
    slot.insert(Workers::start(workers)).pool.clone()
}

impl Workers {
    /// Starts so many threads, or as many of them as there can be, and makes a pool of them.
    fn start(asked: usize) -> Self {
        let (mut inboxes, mut handles) = (Vec::new(), Vec::new());
        while let Some((inbox, handle)) = (handles.len() < asked).then(|| start_one(handles.len())).flatten()
        {
            inboxes.push(inbox);
            handles.push(handle);
        }
        let mut inboxes = inboxes.into_iter();
        let pool = if handles.is_empty() || !there_is_fresh(START) {
            None
        } else {
            let builder = ThreadPoolBuilder::new().num_threads(handles.len()).spawn_handler(|worker| {
                // As many as there are threads, each of which waits for one.
                inboxes.next().map_or(Ok(()), |inbox| inbox.send(worker).map_err(|_| BrokenPipe.into()))
            });
            builder.build().ok().map(Arc::new)
        };
        // Threads that wait for nothing end.
        drop(inboxes);
        Self { asked, pool, handles }
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.current_num_threads())
    }

    /// Ends them, and waits until they have ended, unless a call still uses them: then they end with it.
    fn end(self) {
        let Self { pool, handles, .. } = self;
        let last = pool.is_none_or(|pool| Arc::into_inner(pool).is_some());
        if last {
            for handle in handles {
                // A worker that has panicked has ended, too.
                let _ = handle.join();
            }
        }
    }
}

/// Starts a thread that becomes the worker which it is sent; none if there can be no more.
///
/// It is waited for until it runs: what only it can ask for, there is while this thread takes no more.
fn start_one(number: usize) -> Option<(Sender<ThreadBuilder>, JoinHandle<()>)> {
    if !there_is_fresh(STACK + START) {
        return None;
    }
    let ((sender, inbox), (is_there, there)) = (channel::<ThreadBuilder>(), channel());
    let work = move || {
        if is_there.send(()).is_ok()
            && let Ok(worker) = inbox.recv()
        {
            worker.run();
        }
    };
    let builder = Builder::new().name(format!("focalgrad-{number}")).stack_size(STACK);
    let handle = builder.spawn(work).ok()?;
    there.recv().ok()?;
    Some((sender, handle))
}

/// Whether so much memory can be had now.
pub fn there_is(bytes: usize) -> bool {
    let mut memory = Vec::<u8>::new();
    let found = memory.try_reserve_exact(bytes).is_ok();
    // Looked at, so that it is asked for.
    black_box(&memory);
    found
}

/// Whether so much memory can be had that this process has never had before, as new threads take it: what it has given
/// back to its allocator is no help to them.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn there_is_fresh(bytes: usize) -> bool {
    use std::ffi::{c_int, c_void};

    const READ_AND_WRITE: c_int = 1 | 2;
    const PRIVATE_AND_ANONYMOUS: c_int = 0x02 | 0x20;
    unsafe extern "C" {
        fn mmap(
            start: *mut c_void,
            bytes: usize,
            access: c_int,
            kind: c_int,
            file: c_int,
            offset: i64,
        ) -> *mut c_void;
        fn munmap(start: *mut c_void, bytes: usize) -> c_int;
    }
    // SAFETY: a mapping of its own wherever the system likes, given back before anybody knows of it.
    unsafe {
        let start = mmap(ptr::null_mut(), bytes, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0);
        // Failure is -1.
        start.addr() != usize::MAX && munmap(start, bytes) == 0
    }
}

/// As [`there_is`].
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn there_is_fresh(bytes: usize) -> bool {
    there_is(bytes)
}

/// This process' door. A lock that another thread held during a fork is never looked at again.
fn door() -> &'static Door {
    let process = process::id();
    let current = DOOR.load(Ordering::Acquire);
    // SAFETY: doors are leaked when they are hung, so a pointer that is not null stays valid.
    if let Some(door) = unsafe { current.as_ref() }.filter(|door| door.process == process) {
        return door;
    }
    let fresh = Box::into_raw(Box::new(Door { process, workers: Mutex::new(None) }));
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
            let squares = map(5..100, 1, |i| Ok(i * i)).unwrap();
            assert_eq!(squares, (5..100).map(|i| i * i).collect::<Vec<_>>());
            assert_eq!(threads_in_use(), threads);
            let failed = map(5..100, 1, |i| if i == 50 { Err(Error::NO_MEMORY) } else { Ok(i) });
            assert_eq!(failed, Err(Error::NO_MEMORY));
        }
    }

    #[test]
    fn a_limit_holds_for_one_thread() {
        let before = limit_this_thread(1).unwrap();
        assert_eq!((before, threads()), (MAX_THREADS, 1));
        let ids = map(0..64, 1, |_| Ok(std::thread::current().id())).unwrap();
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
