//! How much of the server a request will take: seats while it runs, and for a write that many
//! watch, seats for a moment after it.

use std::time::Duration;

/// No request takes more seats than this.
const MOST: u32 = 10;
const OBJECTS_PER_SEAT: u64 = 100;
const WATCHES_PER_SEAT: u32 = 10;
/// For how long a write's watchers keep the server busy.
const EVENTS_TAKE: Duration = Duration::from_millis(5);
/// A request takes at most this part of its level's seats.
const PART_OF_LEVEL: f64 = 0.15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub seats: u32,
    /// After the answer, for `linger`.
    pub final_seats: u32,
    pub linger: Duration,
}

impl Work {
    pub const ONE: Work = Work { seats: 1, final_seats: 0, linger: Duration::ZERO };

    /// A list, or a watch that begins with one, that looks at so many objects.
    pub fn list(objects: u64) -> Self {
        let seats = u32::try_from(objects.div_ceil(OBJECTS_PER_SEAT)).unwrap_or(MOST);
        Work { seats: seats.clamp(1, MOST), ..Work::ONE }
    }

    /// A write that so many watches will hear of. Few cost nothing.
    pub fn write(watches: u32) -> Self {
        if watches < WATCHES_PER_SEAT {
            return Work::ONE;
        }
        Work { seats: 1, final_seats: watches.div_ceil(WATCHES_PER_SEAT).min(MOST), linger: EVENTS_TAKE }
    }

    /// The most seats it ever holds.
    pub fn widest(&self) -> u32 {
        self.seats.max(self.final_seats)
    }

    /// Cut down to what a level with so many seats may give to one request.
    pub(crate) fn within(self, nominal: u32) -> Self {
        // At most fifteen hundredths of a u32.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let most = ((f64::from(nominal) * PART_OF_LEVEL).ceil() as u32).max(1);
        Work { seats: self.seats.min(most), final_seats: self.final_seats.min(most), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_and_much_watched_writes_take_more() {
        for (objects, seats) in [(0, 1), (100, 1), (101, 2), (450, 5), (1_000_000, 10)] {
            assert_eq!(Work::list(objects).seats, seats, "{objects}");
        }
        assert_eq!(Work::write(9), Work::ONE);
        assert_eq!(Work::write(25).final_seats, 3);
        assert_eq!(Work::write(25).widest(), 3);
        assert_eq!(Work::list(5000).within(20).seats, 3);
        assert_eq!(Work::list(5000).within(1).seats, 1);
    }
}
