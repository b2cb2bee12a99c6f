//! A guest's allocator: memory that is there from the start, and Rust's own allocator beyond it.
//!
//! Rust's allocator asks the host for more memory at the first allocation. Changing an instance's
//! memory stops every thread of the host for a moment, for each event anew, and most events need less
//! than there is. An instance lives for one event, so the arena gives back only what was taken last.

#![expect(unsafe_code, reason = "an allocator hands out memory by its address")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::copy_nonoverlapping;

/// With a small stack and the constants of a plugin it makes two pages of memory, which is cleared for each
/// event; an alert needs about half of it.
#[cfg(target_os = "unknown")]
const BYTES: usize = 40 << 10;

#[cfg(target_os = "unknown")]
#[global_allocator]
static ARENA: Arena<BYTES> = Arena::new();

/// An arena of so many bytes.
struct Arena<const N: usize> {
    bytes: UnsafeCell<[u8; N]>,
    /// So many of them, from the first one, are taken.
    taken: Cell<usize>,
}

// SAFETY: a guest has one thread.
unsafe impl<const N: usize> Sync for Arena<N> {}

impl<const N: usize> Arena<N> {
    const fn new() -> Self {
        Self { bytes: UnsafeCell::new([0; N]), taken: Cell::new(0) }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where in the arena that is; `None` for memory of the system.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        let offset = pointer.addr().checked_sub(self.start().addr())?;
        (offset < N).then_some(offset)
    }

    /// Takes so many bytes from `offset` on, if they are there.
    fn take(&self, offset: usize, bytes: usize) -> Option<()> {
        let end = offset.checked_add(bytes).filter(|end| *end <= N)?;
        self.taken.set(end);
        Some(())
    }
}

// SAFETY: what is taken from the arena is within it, aligned, and taken once until it is given back;
// the rest is the system's.
unsafe impl<const N: usize> GlobalAlloc for Arena<N> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = self.start().addr() + self.taken.get();
        let offset = next.next_multiple_of(layout.align()) - self.start().addr();
        // An empty arena's end is nobody's: nothing is taken there, not even nothing.
        if offset < N && self.take(offset, layout.size()).is_some() {
            // SAFETY: the offset is within the arena.
            unsafe { self.start().add(offset) }
        } else {
            // SAFETY: the caller's promises are passed on.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset(pointer) {
            Some(offset) if offset + layout.size() == self.taken.get() => self.taken.set(offset),
            Some(_) => {}
            // SAFETY: it is not the arena's, so the system gave it.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let Some(offset) = self.offset(pointer) else {
            // SAFETY: it is not the arena's, so the system gave it.
            return unsafe { System.realloc(pointer, layout, bytes) };
        };
        let is_last = offset + layout.size() == self.taken.get();
        if (is_last && self.take(offset, bytes).is_some()) || bytes <= layout.size() {
            return pointer;
        }
        // SAFETY: the caller promises that the size is good for the alignment; what is new is at least
        // as large as what is copied, and somewhere else.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !moved.is_null() {
                copy_nonoverlapping(pointer, moved, layout.size());
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize, align: usize) -> Layout {
        Layout::from_size_align(bytes, align).unwrap()
    }

    /// Takes memory and marks all of it.
    fn take(arena: &Arena<256>, bytes: usize, align: usize, mark: u8) -> *mut u8 {
        // SAFETY: the size is not zero, and what was given is written within its size.
        unsafe {
            let pointer = arena.alloc(layout(bytes, align));
            assert!(!pointer.is_null() && pointer.addr().is_multiple_of(align));
            pointer.write_bytes(mark, bytes);
            pointer
        }
    }

    fn holds(pointer: *mut u8, bytes: usize, mark: u8) -> bool {
        // SAFETY: the tests ask for memory that they have.
        unsafe { std::slice::from_raw_parts(pointer, bytes) }.iter().all(|byte| *byte == mark)
    }

    #[test]
    fn what_is_taken_is_aligned_apart_and_within_or_the_systems() {
        let arena = Arena::<256>::new();
        let taken: Vec<(*mut u8, usize, usize, u8)> =
            [(1, 1), (24, 8), (3, 1), (64, 64), (100, 4), (300, 8), (40, 8), (8, 8), (5, 1)]
                .into_iter()
                .zip(1..)
                .map(|((bytes, align), mark)| (take(&arena, bytes, align, mark), bytes, align, mark))
                .collect();
        for (pointer, bytes, _, mark) in &taken {
            assert!(holds(*pointer, *bytes, *mark), "{bytes} bytes were written over");
        }
        let outside = taken.iter().filter(|(pointer, ..)| arena.offset(*pointer).is_none()).count();
        assert!((1..taken.len()).contains(&outside), "{outside} are the system's");
        for (pointer, bytes, align, _) in taken {
            // SAFETY: each is given back once, with its layout.
            unsafe { arena.dealloc(pointer, layout(bytes, align)) };
        }
    }

    #[test]
    fn what_was_taken_last_is_given_back() {
        let arena = Arena::<256>::new();
        let first = take(&arena, 16, 8, 1);
        for _ in 0..100 {
            let last = take(&arena, 200, 8, 2);
            assert!(arena.offset(last).is_some(), "the arena is full");
            // SAFETY: it is given back once, with its layout.
            unsafe { arena.dealloc(last, layout(200, 8)) };
        }
        assert!(holds(first, 16, 1));
    }

    #[test]
    fn what_was_taken_last_grows_where_it_is_and_everything_else_moves() {
        let arena = Arena::<256>::new();
        let first = take(&arena, 16, 8, 1);
        let last = take(&arena, 16, 8, 2);
        // SAFETY: each pointer is used with its layout, until it has moved.
        unsafe {
            let grown = arena.realloc(last, layout(16, 8), 64);
            assert_eq!(grown, last);
            assert!(holds(grown, 16, 2));
            assert_eq!(arena.realloc(grown, layout(64, 8), 8), grown, "it shrinks in place");
            assert_eq!(arena.realloc(first, layout(16, 8), 8), first);
            let moved = arena.realloc(first, layout(8, 8), 32);
            assert!(moved != first && holds(moved, 8, 1) && holds(grown, 8, 2));
            let beyond = arena.realloc(moved, layout(32, 8), 1 << 10);
            assert!(arena.offset(beyond).is_none() && holds(beyond, 8, 1));
            let further = arena.realloc(beyond, layout(1 << 10, 8), 1 << 12);
            assert!(arena.offset(further).is_none() && holds(further, 8, 1));
            arena.dealloc(further, layout(1 << 12, 8));
        }
    }
}
