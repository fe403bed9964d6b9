//! Label and field selectors: what is printed is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meta::fields::FieldSelector;
use meta::labels::Selector;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let _ = selector.matches_with(|key| (key.len() % 2 == 0).then_some("a"));
        let printed = selector.to_string();
        assert_eq!(Selector::parse(&printed).map(|again| again.to_string()).as_ref(), Ok(&printed), "{text}");
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let _ = selector.matches_with(|_| Some("a"));
        // Terms are sorted as they were written, so that only the second reading is sure to keep the order.
        let read = |text: &str| FieldSelector::parse(text).expect("what was printed is read");
        let sorted = read(&selector.to_string());
        assert_eq!(read(&sorted.to_string()), sorted, "{text}");
        assert_eq!(sorted.terms().len(), selector.terms().len(), "{text}");
    }
    if let Ok(json) = serde_json::from_str(text) {
        let _ = Selector::from_json(&json);
    }
});
