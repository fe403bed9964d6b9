//! Randomness for names, jitter and simulation. Not for secrets: keys and tokens come from
//! `auth`, which asks the kernel.

use std::sync::{Arc, Mutex, PoisonError};

/// A seeded generator; clones draw from the same stream.
#[derive(Clone)]
pub struct Rng(Arc<Mutex<fastrand::Rng>>);

/// The letters and digits of generated names: no vowels and nothing easily misread
/// (apimachinery `util/rand`).
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Rng {
    pub fn from_os() -> Self {
        Rng(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    pub fn seeded(seed: u64) -> Self {
        Rng(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A generator of its own, whose stream depends on this one's state now.
    pub fn fork(&self) -> Self {
        Rng::seeded(self.u64(..))
    }

    pub fn u64(&self, range: impl std::ops::RangeBounds<u64>) -> u64 {
        self.with(|rng| rng.u64(range))
    }

    pub fn usize(&self, range: impl std::ops::RangeBounds<usize>) -> usize {
        self.with(|rng| rng.usize(range))
    }

    /// In `0.0..1.0`.
    pub fn f64(&self) -> f64 {
        self.with(fastrand::Rng::f64)
    }

    /// True with the given probability.
    pub fn chance(&self, probability: f64) -> bool {
        self.f64() < probability
    }

    pub fn shuffle<T>(&self, items: &mut [T]) {
        self.with(|rng| rng.shuffle(items));
    }

    /// A random (version 4) UUID in its usual text form.
    pub fn uuid(&self) -> String {
        let bits = self.with(|rng| rng.u128(..));
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        let bits = bits & !(0x3 << 62) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// `length` letters for a generated name.
    pub fn name_suffix(&self, length: usize) -> String {
        self.with(|rng| (0..length).map(|_| char::from(NAME_ALPHABET[rng.usize(..NAME_ALPHABET.len())])).collect())
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let (a, b) = (Rng::seeded(7), Rng::seeded(7));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.name_suffix(5), b.name_suffix(5));
        assert_ne!(a.uuid(), a.uuid());
    }

    #[test]
    fn uuids_are_version_4_variant_1() {
        let uuid = Rng::seeded(1).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
