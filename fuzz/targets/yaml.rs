//! YAML into values and back: what was written reads as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::yaml;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for document in yaml::documents(text) {
        let _ = yaml::parse(document);
        let Ok(document) = yaml::parse_document(document) else { continue };
        let written = yaml::to_string(&document.value);
        assert_eq!(yaml::parse(&written).as_ref(), Ok(&document.value), "{written}");
    }
});
