//! Protobuf into objects and back, and on through JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::decode::{Strictness, decode_json};
use wire::{encode, protobuf};

fuzz_target!(|data: &[u8]| {
    let _ = protobuf::read_watch_event(data);
    let schema = kinds::schema();
    let resolve = kinds::type_of_version;
    let Ok(envelope) = protobuf::open(data) else { return };
    let Some(id) = resolve(&envelope.api_version, &envelope.kind) else { return };
    let Ok(value) = protobuf::from_protobuf(data, schema, &resolve) else { return };
    let Ok(written) = protobuf::to_protobuf(&value, schema, id) else { return };
    let again = protobuf::from_protobuf(&written, schema, &resolve).expect("what was written is read");
    // Not the value: a message may leave out what is always written.
    assert_eq!(protobuf::to_protobuf(&again, schema, id).as_deref(), Ok(&*written));
    let json = encode::to_json(&value, schema, id);
    let Ok((read, _)) = decode_json(&json, schema, id, Strictness::Strict) else { return };
    let through = protobuf::to_protobuf(&read, schema, id).expect("what was read is written");
    let through = protobuf::from_protobuf(&through, schema, &resolve).expect("what was written is read");
    assert_eq!(encode::to_json(&through, schema, id), encode::to_json(&read, schema, id));
});
