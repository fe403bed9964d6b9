//! Shuffle sharding: each flow is dealt a few of the queues, always the same ones, so that one
//! flow's crowd rarely fills all the queues of another.

/// The most bits of a flow's hash that dealing can use.
pub const MAX_HASH_BITS: u32 = 60;
/// Validation lets no hand through that needs more cards than these bits can choose.
const MAX_HAND: usize = 32;

/// How many bits of hash it takes to deal any hand: log2 of the number of ordered hands.
pub fn entropy_bits(queues: u32, hand: u32) -> u32 {
    let hands: f64 = (0..hand).map(|card| f64::from(queues.saturating_sub(card)).max(1.0).log2()).sum();
    // Bits are few: no fraction or sign is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = hands.ceil() as u32;
    bits
}

/// Calls `take` with each queue of the flow's hand.
pub fn deal(hash: u64, queues: u32, hand: u32, mut take: impl FnMut(usize)) {
    let hand = (hand.min(queues) as usize).min(MAX_HAND);
    let mut rest = hash & ((1 << MAX_HASH_BITS) - 1);
    // Sorted, the queues dealt so far: a card is counted among those that are left.
    let mut dealt = [0u64; MAX_HAND];
    for (count, left) in (0..hand).zip((1..=u64::from(queues)).rev()) {
        let mut card = rest % left;
        rest /= left;
        let mut at = 0;
        while at < count && dealt[at] <= card {
            card += 1;
            at += 1;
        }
        dealt.copy_within(at..count, at + 1);
        dealt[at] = card;
        // A queue's number came from a u32.
        take(usize::try_from(card).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_have_no_card_twice_and_are_spread_evenly() {
        let mut counts = [0u32; 16];
        let mut hash = 1u64;
        for _ in 0..16_000 {
            hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut hand = Vec::new();
            deal(hash >> 4, 16, 4, |queue| hand.push(queue));
            for queue in &hand {
                counts[*queue] += 1;
            }
            hand.sort_unstable();
            hand.dedup();
            assert_eq!(hand.len(), 4);
        }
        assert!(counts.iter().all(|count| (3_600..4_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn entropy_is_that_of_ordered_hands() {
        assert_eq!(entropy_bits(64, 6), 36);
        assert_eq!(entropy_bits(128, 6), 42);
        assert_eq!(entropy_bits(1, 1), 0);
        assert!(entropy_bits(512, 8) > MAX_HASH_BITS);
    }
}
