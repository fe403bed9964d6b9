//! A document and a JSON patch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::patch::json_patch;

fuzz_target!(|data: &[u8]| {
    let Some([doc, patch]) = fuzz::documents(data) else { return };
    let Ok(doc) = serde_json::from_str(doc) else { return };
    match json_patch(&doc, patch.as_bytes()) {
        Ok(patched) => drop(serde_json::to_string(&patched).expect("a value")),
        Err(refused) => drop(refused.status()),
    }
});
