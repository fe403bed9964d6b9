//! A template of JSON paths and an object.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([template, object]) = fuzz::documents(data) else { return };
    let object = serde_json::from_str(object).unwrap_or_default();
    let _ = cli::templates::jsonpath(template, &object);
});
