//! JSON into canonical objects: what was decoded and written is decoded to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::decode::{Strictness, decode_json, decode_untyped};
use wire::{defaults, encode, json, prune};

fuzz_target!(|data: &[u8]| {
    // Readers of stored bytes must not trip over others.
    let _ = json::find(data, &["metadata", "name"]);
    let _ = json::find_text(data, &["kind"]);
    let _ = json::items(data).count();
    if let Ok((value, _)) = decode_untyped(data) {
        let written = encode::any_to_json(&value);
        // Not the value: 1e2 is written as 100, which is read as an integer.
        let again = decode_untyped(&written).expect("what was written is read").0;
        assert_eq!(encode::any_to_json(&again), written);
    }
    let schema = kinds::schema();
    let id = fuzz::type_of(&serde_json::from_slice(data).unwrap_or_default());
    let _ = decode_json(data, schema, id, Strictness::Strict);
    let Ok((value, _)) = decode_json(data, schema, id, Strictness::Warn) else { return };
    let written = encode::to_json(&value, schema, id);
    let (again, warnings) = decode_json(&written, schema, id, Strictness::Strict).expect("what was written is read");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(encode::to_json(&again, schema, id), written);
    if let Some(splice) = json::find_splice(&written) {
        let spliced = splice.apply(&written, 7);
        assert_eq!(json::find_text(&spliced, &["metadata", "resourceVersion"]), Some("7"));
    }
    let mut whole = again;
    defaults::apply_declared(&mut whole, schema, id);
    assert!(prune::prune(&mut whole, schema, id).is_empty(), "defaults are fields too");
});
