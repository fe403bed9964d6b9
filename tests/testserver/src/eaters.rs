//! Eats memory and CPU.

use std::time::{Duration, Instant};

const PAGE: usize = 4096;

/// Takes memory and writes to every page of it, a mebibyte at a time.
pub fn memory(mebibytes: usize) -> Vec<Vec<u8>> {
    let mut kept = Vec::new();
    for _ in 0..mebibytes {
        let mut block = vec![0u8; 1 << 20];
        block.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        kept.push(std::hint::black_box(block));
    }
    println!("touched {mebibytes} MiB");
    kept
}

/// Keeps threads busy, for a time or for good.
pub fn cpu(threads: usize, limit: Option<Duration>) {
    for _ in 0..threads {
        std::thread::spawn(move || {
            let started = Instant::now();
            while limit.is_none_or(|limit| started.elapsed() < limit) {
                (0..10_000u64).for_each(|number| _ = std::hint::black_box(number * number));
            }
        });
    }
}
