//! A document and a merge patch: merging twice changes nothing more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::patch::merge_patch;

fuzz_target!(|data: &[u8]| {
    let Some([doc, patch]) = fuzz::documents(data) else { return };
    let Ok(doc) = serde_json::from_str(doc) else { return };
    match merge_patch(&doc, patch.as_bytes()) {
        Ok(patched) => assert_eq!(merge_patch(&patched, patch.as_bytes()).expect("it was good before"), patched),
        Err(refused) => drop(refused.status()),
    }
});
