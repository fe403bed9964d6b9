//! Hash maps that iterate in the same order in every run: std's are seeded by the system, which
//! would make a simulation differ from its replay. Where an attacker chooses the keys, use a
//! `BTreeMap`.
#![allow(clippy::disallowed_types)]

use std::hash::{BuildHasherDefault, Hasher};

pub type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Fx>>;
pub type HashSet<K> = std::collections::HashSet<K, BuildHasherDefault<Fx>>;

/// The multiply-and-rotate hash of Firefox: quick on short keys, the same in every process.
#[derive(Default, Clone)]
pub struct Fx(u64);

const MULTIPLIER: u64 = 0x517c_c1b7_2722_0a95;

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
        for byte in chunks.remainder() {
            self.add(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.add(word as u64);
    }

    fn finish(&self) -> u64 {
        // The high bits are the well-mixed ones; std's table looks at both ends.
        self.0 ^ (self.0 >> 32)
    }
}
