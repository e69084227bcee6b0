//! What extraction holds at once, counted by the allocator: below twenty times the page, whatever the page.

#[path = "hostile/mod.rs"]
mod hostile;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use gristmill_stages::html::{Format, Options, extract};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a page of any length may take: the tables that are built once, and small pages' fixed buffers.
const FLOOR: usize = 1 << 20;

/// The only test of this file: the allocator counts for the whole process.
#[test]
fn no_page_takes_twenty_times_its_length() {
    let options = |format| Options { format, ..Options::default() };
    // Whatever is built once is built here.
    extract("<p class=nav>some <b>text</b> here", &options(Format::Markdown));
    let mut worst = Vec::new();
    for (name, html) in hostile::pages() {
        for format in [Format::Text, Format::Markdown] {
            let before = HELD.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            let extracted = extract(&html, &options(format));
            let took = MOST.load(Ordering::Relaxed) - before;
            let times = took.saturating_sub(FLOOR) as f64 / html.len() as f64;
            let line =
                format!("{times:6.1} times {:>10} bytes: {name}, {:?}", html.len(), extracted.extraction);
            eprintln!("{line}");
            if times >= 20.0 {
                worst.push(line);
            }
        }
    }
    assert!(worst.is_empty(), "{}", worst.join("\n"));
}
