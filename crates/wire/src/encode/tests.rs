//! Bytes as Go writes them.

use super::*;
use serde_json::json;

#[test]
fn scalars_print_as_in_go() {
    for (value, text) in [
        (json!("a<b>&c\u{2028}\u{2029}é"), r#""a\u003cb\u003e\u0026c\u2028\u2029é""#),
        (json!("\u{1}\u{8}\u{c}\n\r\t\"\\\u{7f}"), "\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\\u{7f}\""),
        (json!(1.0), "1"),
        (json!(0.1), "0.1"),
        (json!(1e20), "100000000000000000000"),
        (json!(1e21), "1e+21"),
        (json!(1.5e-7), "1.5e-7"),
        (json!(1e-6), "0.000001"),
        (json!(-0.0), "-0"),
        (json!(9_007_199_254_740_993_i64), "9007199254740993"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!({"b": [], "a": {}}), r#"{"a":{},"b":[]}"#),
    ] {
        assert_eq!(String::from_utf8(any_to_json(&value)).unwrap(), text);
    }
}
