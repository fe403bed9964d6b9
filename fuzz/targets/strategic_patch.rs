//! An object and a strategic merge patch of its kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::patch::strategic_merge;

fuzz_target!(|data: &[u8]| {
    let Some([object, patch]) = fuzz::values(data) else { return };
    match strategic_merge(&object, &patch, &fuzz::cursor_of(&object)) {
        Ok(merged) => drop(fuzz::canonical(merged)),
        Err(refused) => drop(refused.status()),
    }
});
