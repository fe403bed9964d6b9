//! JSON as Go's encoder writes it: `<`, `>` and `&` escaped, four blanks a level where indented.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

pub fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A value in memory cannot fail to be written to memory.
    let _ = value.serialize(&mut serializer);
    escape(&String::from_utf8_lossy(&bytes))
}

pub fn compact(value: &Value) -> String {
    escape(&value.to_string())
}

/// These signs stand only inside of strings.
pub fn escape(text: &str) -> String {
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_go_writes_it() {
        assert_eq!(
            pretty(&json!({"a": [1], "b": {}, "c": "<&>"})),
            "{\n    \"a\": [\n        1\n    ],\n    \"b\": {},\n    \"c\": \"\\u003c\\u0026\\u003e\"\n}"
        );
        assert_eq!(compact(&json!({"a": "x>y"})), "{\"a\":\"x\\u003ey\"}");
    }
}
