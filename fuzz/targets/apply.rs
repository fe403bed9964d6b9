//! A live object, and two managers who apply to it by turns, with an update between.
#![no_main]

use base::Timestamp;
use libfuzzer_sys::fuzz_target;
use wire::apply::{Writer, apply, track_update};

fuzz_target!(|data: &[u8]| {
    let Some([live, first, second]) = fuzz::values(data) else { return };
    let cursor = fuzz::cursor_of(&live);
    let api_version = live.get("apiVersion").and_then(|text| text.as_str()).unwrap_or("v1").to_owned();
    let writer = |manager: &'static str| Writer {
        manager,
        api_version: &api_version,
        subresource: "",
        now: Timestamp::UNIX_EPOCH,
        reset: &["status"],
        versions: None,
    };
    let Some(mut live) = fuzz::canonical(live) else { return };
    track_update(None, &mut live, &writer("creator"), &cursor);
    let mut object = live;
    for (manager, applied, force) in [("kubectl", &first, false), ("other", &second, false), ("other", &second, true)] {
        match apply(Some(&object), applied, &writer(manager), force, &cursor) {
            Ok(changed) => {
                object = changed.unwrap_or(object);
                let again = apply(Some(&object), applied, &writer(manager), force, &cursor);
                let again = again.map(|changed| changed.unwrap_or_else(|| object.clone()));
                assert_eq!(again.as_ref(), Ok(&object), "the same once more changes nothing");
            }
            Err(refused) => drop(refused.status("default/x; v1, Kind=Pod")),
        }
    }
    let mut updated = second;
    track_update(Some(&object), &mut updated, &writer("updater"), &cursor);
});
