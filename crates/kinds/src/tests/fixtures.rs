//! Real objects with every field set, in JSON and protobuf: whatever upstream writes is read
//! strictly and written back byte for byte.
//!
//! `fixtures/` holds a choice; KUTTER_API_FIXTURES may name a folder with more of the same form
//! (`group.version.Kind.json` and `.pb`).

use crate::{schema, type_of, type_of_version};
use std::path::{Path, PathBuf};
use wire::decode::{Strictness, decode_json};
use wire::schema::TypeId;

fn folders() -> Vec<PathBuf> {
    let more = std::env::var_os("KUTTER_API_FIXTURES").map(PathBuf::from);
    [Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")), more].into_iter().flatten().collect()
}

/// The JSON file, its type and its bytes.
fn fixtures() -> Vec<(PathBuf, TypeId, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in folders() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut parts = stem.rsplitn(3, '.');
            let (kind, version, group) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let group = if group == "core" { "" } else { group };
            let id = type_of(group, version, kind).unwrap_or_else(|| panic!("no type for {stem}"));
            let json = std::fs::read(&path).unwrap();
            found.push((path, id, json));
        }
    }
    assert!(found.len() >= 20);
    found
}

/// Drops white space between tokens, nothing else.
fn compact(json: &[u8]) -> String {
    let mut out = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            byte if !quoted && byte.is_ascii_whitespace() => continue,
            _ => {}
        }
        out.push(*byte);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn json_comes_back_byte_for_byte() {
    for (path, id, json) in fixtures() {
        let (value, _) = decode_json(&json, schema(), id, Strictness::Strict)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let again = String::from_utf8(wire::encode::to_json(&value, schema(), id)).unwrap();
        assert_eq!(again, compact(&json), "{}", path.display());
    }
}

#[test]
fn protobuf_comes_back_byte_for_byte() {
    for (path, id, json) in fixtures() {
        let wanted = std::fs::read(path.with_extension("pb")).unwrap();
        let (value, _) = decode_json(&json, schema(), id, Strictness::Strict).unwrap();
        let message = wire::protobuf::to_message(&value, schema(), id).unwrap();
        let envelope = wire::protobuf::open(&wanted).unwrap();
        assert!(message == envelope.message, "{}: other bytes", path.display());
        // What kubectl cannot tell from the type (`WatchEvent` has no apiVersion) the caller knows.
        let resolve = |version: &str, kind: &str| type_of_version(version, kind).or(Some(id));
        let again = wire::protobuf::from_protobuf(&wanted, schema(), &resolve)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let again = String::from_utf8(wire::encode::to_json(&again, schema(), id)).unwrap();
        assert_eq!(again, compact(&json), "{}", path.display());
        assert_eq!(wire::protobuf::envelope(&envelope.api_version, &envelope.kind, &message), wanted);
    }
}

/// Sparse and wrong objects beside what Go's decoder and encoder made of them: type, input, errors,
/// output.
#[test]
fn odd_objects_fare_as_in_go() {
    for line in include_str!("../../fixtures/go-cases.tsv").lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, input, errors, output] = columns[..] else { panic!("{line}") };
        let id = crate::type_id(name).unwrap();
        match decode_json(input.as_bytes(), schema(), id, Strictness::Warn) {
            Ok((value, warnings)) => {
                assert_eq!(warnings.join(", "), errors, "{line}");
                let again = String::from_utf8(wire::encode::to_json(&value, schema(), id)).unwrap();
                assert_eq!(again, output, "{line}");
            }
            Err(error) => assert_eq!((error.to_string().as_str(), ""), (errors, output), "{line}"),
        }
    }
}
