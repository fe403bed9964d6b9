//! Kustomizations beside what kubectl 1.33 makes of them.

use std::path::Path;

/// Every folder of `testdata/kustomize` with an `expected.yaml` is built and compared to the byte.
#[test]
fn builds_as_upstream_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kustomize");
    let mut seen = 0;
    for entry in std::fs::read_dir(&root).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(expected) = std::fs::read_to_string(folder.join("expected.yaml")) else { continue };
        let built = super::build(folder.to_str().unwrap()).map(|objects| super::text(&objects));
        let built = built.unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        for (at, (ours, theirs)) in built.lines().zip(expected.lines()).enumerate() {
            assert_eq!(ours, theirs, "{} line {}", folder.display(), at + 1);
        }
        assert_eq!(built, expected, "{}", folder.display());
        seen += 1;
    }
    assert!(seen >= 3, "only {seen} folders were compared");
}

#[test]
fn what_cannot_be_built_is_refused() {
    let rows = [
        ("foo: bar", "invalid Kustomization: json: unknown field \"foo\""),
        ("vars: [{name: x}]", "the field \"vars\" of a kustomization is not supported"),
        ("resources: [../x.yaml]", "lstat"),
        ("resources: ['.']", "cycle detected"),
        ("configMapGenerator: [{name: a, behavior: merge}]", "does not exist; cannot merge or replace"),
        ("patches: [{patch: '[]'}]", "must specify a target for JSON patch"),
        ("replicas: [{name: a, count: 1}]", "does not match a config"),
    ];
    for (text, expected) in rows {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
        let why = super::build(folder.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(why.contains(expected), "{text}: {why}");
    }
}
