//! A schedule and a time zone: the next time comes after, or there is none.
#![no_main]

use base::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([schedule, zone]) = fuzz::documents(data) else { return };
    let Ok(schedule) = cron::Schedule::parse(schedule) else { return };
    let Some(zone) = cron::zone(zone.trim()) else { return };
    let mut at = Timestamp::from_second(1_770_000_000).expect("a time");
    for _ in 0..20 {
        let Some(next) = schedule.next(at, &zone) else { return };
        assert!(next > at, "{next} after {at}");
        at = next;
    }
});
