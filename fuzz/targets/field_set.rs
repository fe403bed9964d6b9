//! The field sets of managedFields, as anybody may send them: the laws of sets hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::apply::FieldSet;

fuzz_target!(|data: &[u8]| {
    let Some([a, b]) = fuzz::values(data) else { return };
    let (Some(a), Some(b)) = (FieldSet::from_json(a), FieldSet::from_json(b)) else { return };
    let _ = (a.paths(), b.paths());
    let mut both = FieldSet::default();
    both.union(a.clone());
    both.union(b.clone());
    let members = |set: &FieldSet| set.paths().into_iter().collect::<std::collections::BTreeSet<_>>();
    let united: std::collections::BTreeSet<_> = members(&a).union(&members(&b)).cloned().collect();
    assert!(members(&both).is_subset(&united), "{:?} of {united:?}", members(&both));
    let mut left = both.clone();
    left.subtract(&b);
    let _ = (left.paths(), a.intersection(&b).paths());
    left.remove_below("f.metadata");
    left.remove_member(&["metadata", "labels"]);
    let json = both.clone().into_json();
    assert_eq!(FieldSet::from_json(json), Some(both));
});
