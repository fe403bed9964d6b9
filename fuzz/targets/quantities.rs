//! Quantities, times and durations: what is printed is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meta::{Quantity, time};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(quantity) = Quantity::parse(text) {
        let printed = quantity.to_string();
        let again = Quantity::parse(&printed).expect("what was printed is read");
        // As in Go, a fraction of a binary unit is printed without one, and from then on in decimal ones.
        let settled = again.to_string();
        assert_eq!(Quantity::parse(&settled).map(|settled| settled.to_string()), Ok(settled), "{text}");
        let _ = (quantity.value(), quantity.milli_value(), quantity.is_whole(), quantity.divided_by(again));
    }
    if let Ok(canonical) = meta::quantity::canonical(text) {
        let canonical = meta::quantity::canonical(&canonical).expect("what was written is read");
        assert_eq!(meta::quantity::canonical(&canonical).as_deref(), Ok(&*canonical), "{text}");
    }
    if let Ok(canonical) = time::canonical(text) {
        assert_eq!(time::canonical(&canonical).as_deref(), Ok(&*canonical), "{text}");
    }
    if let Ok(canonical) = time::canonical_micro(text) {
        assert_eq!(time::canonical_micro(&canonical).as_deref(), Ok(&*canonical), "{text}");
    }
    if let Ok(nanos) = time::parse_duration(text) {
        assert_eq!(time::parse_duration(&time::format_duration(nanos)), Ok(nanos), "{text}");
    }
});
