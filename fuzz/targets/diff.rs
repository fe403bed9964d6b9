//! What was applied, what is to be, what is: the patch that client-side apply would send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::patch::{json_merge_diff, merge_patch, strategic_diff, strategic_merge};

fuzz_target!(|data: &[u8]| {
    let Some([original, modified, current]) = fuzz::values(data) else { return };
    let patch = json_merge_diff(&original, &modified, &current);
    let _ = merge_patch(&current, &serde_json::to_vec(&patch).expect("a value"));
    let cursor = fuzz::cursor_of(&modified);
    if let Ok(patch) = strategic_diff(&original, &modified, &current, &cursor) {
        let _ = strategic_merge(&current, &patch, &cursor);
    }
    // Between objects as the server stores them the patch leads from one to the other: all but lists, whose keys
    // need not be unique, as those of a Service's ports.
    let (Some(modified), Some(current)) = (fuzz::canonical(modified), fuzz::canonical(current)) else { return };
    let Ok(patch) = strategic_diff(&modified, &modified, &current, &cursor) else { return };
    let Ok(merged) = strategic_merge(&current, &patch, &cursor) else { return };
    for scalars in ["/metadata/labels", "/metadata/annotations", "/data", "/spec/nodeSelector"] {
        for (key, wanted) in modified.pointer(scalars).and_then(|map| map.as_object()).into_iter().flatten() {
            assert_eq!(merged.pointer(scalars).and_then(|map| map.get(key)), Some(wanted), "{patch}");
        }
    }
});
