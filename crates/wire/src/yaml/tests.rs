//! YAML by example; the texts written were compared with kubectl's own.

use super::*;
use serde_json::{Value, json};

#[test]
fn words_mean_what_go_takes_them_for() {
    let rows = [
        ("a", json!("a")),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("'yes'", json!("yes")),
        ("~", json!(null)),
        ("null", json!(null)),
        ("", json!(null)),
        ("1", json!(1)),
        ("-1", json!(-1)),
        ("+1", json!(1)),
        ("0644", json!(420)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("08", json!(8)),
        ("1.0", json!(1)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1e3", json!(1000)),
        ("1e-3", json!(0.001)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1:30", json!("1:30")),
        ("2001-01-01", json!("2001-01-01")),
        ("1.2.3", json!("1.2.3")),
        ("-", json!([null])),
        ("100m", json!("100m")),
        ("!!str 1", json!("1")),
        ("!!int \"1\"", json!(1)),
        ("\"a\\nb\"", json!("a\nb")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
        (">-\n  a\n  b\n", json!("a b")),
        ("[a, {b: 1}]", json!(["a", {"b": 1}])),
        ("1: a\ntrue: b\n", json!({"1": "a", "true": "b"})),
        ("{\"a\": [1, 2.5, null]}", json!({"a": [1, 2.5, null]})),
    ];
    for (text, expected) in rows {
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn anchors_and_merges() {
    let text = "base: &b {a: 1, b: 2}\nmine:\n  <<: *b\n  b: 3\nlist:\n- *b\n";
    let expected = json!({"base": {"a": 1, "b": 2}, "mine": {"a": 1, "b": 3}, "list": [{"a": 1, "b": 2}]});
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn refusals() {
    let rows = [
        ("a: 1\nb: 2\na: 3\n", "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map"),
        ("a: .inf", "json: unsupported value: .inf"),
        ("? [a]\n: b\n", "unsupported map key: [\"a\"]"),
    ];
    for (text, message) in rows {
        assert_eq!(parse(text).map_err(|e| e.to_string()), Err(message.to_owned()), "{text:?}");
    }
    for text in ["a: b: c", "a:\n\t- b", "[a", "{a: b", "*nope", "a: &x [*x]", "\"a"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("yaml: "), "{text:?}: {error}");
    }
    assert_eq!(parse_document("a: 1\na: 2").unwrap().value, json!({"a": 2}));
}

#[test]
fn bombs_are_cut_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let previous = format!("*a{}", n - 1);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![previous; 10].join(", ")));
    }
    assert_eq!(parse(&bomb), Err(YamlError::TooManyAliases));
    assert_eq!(parse(&"[".repeat(200)), Err(YamlError::TooDeep));
}

#[test]
fn streams_split() {
    let split = |text: &'static str| documents(text).map(str::trim).collect::<Vec<_>>();
    assert_eq!(split("a: 1\n---\nb: 2\n"), ["a: 1", "b: 2"]);
    assert_eq!(split("---\na: 1\n---\n# only a comment\n---\n\n"), ["a: 1"]);
    assert_eq!(split("a: |\n  ---\n  x\n"), ["a: |\n  ---\n  x"]);
    assert_eq!(split("--- # first\na: 1\n--- \nb: 1"), ["--- # first\na: 1", "b: 1"]);
    assert_eq!(parse("--- # first\na: 1"), Ok(json!({"a": 1})));
}

#[test]
fn values_print_as_kubectl_prints_them() {
    let long = "word ".repeat(30).trim_end().to_owned();
    let rows: Vec<(Value, String)> = vec![
        (json!({"b": 1, "a": [1, "x"]}), "a:\n- 1\n- x\nb: 1\n".to_owned()),
        (json!({"a": {"b": {}, "c": []}}), "a:\n  b: {}\n  c: []\n".to_owned()),
        (json!([{"a": 1, "b": [{"c": 2}]}]), "- a: 1\n  b:\n  - c: 2\n".to_owned()),
        (json!([[1, 2], []]), "- - 1\n  - 2\n- []\n".to_owned()),
        (json!({"a": null, "b": true, "c": 1.5}), "a: null\nb: true\nc: 1.5\n".to_owned()),
        (
            json!({"a": "1", "b": "yes", "c": "", "d": "null"}),
            "a: \"1\"\nb: \"yes\"\nc: \"\"\nd: \"null\"\n".to_owned(),
        ),
        (json!({"t": "2024-01-02T03:04:05Z", "d": "1:30"}), "d: \"1:30\"\nt: \"2024-01-02T03:04:05Z\"\n".to_owned()),
        (
            json!({"a": "x: y", "b": "#c", "c": "a #b", "d": "a#b"}),
            "a: 'x: y'\nb: '#c'\nc: 'a #b'\nd: a#b\n".to_owned(),
        ),
        (json!({"a": "it's", "b": "'q'", "c": "*", "d": "- x"}), "a: it's\nb: '''q'''\nc: '*'\nd: '- x'\n".to_owned()),
        (json!({"a": "x\ny\n", "b": "x\ny"}), "a: |\n  x\n  y\nb: |-\n  x\n  y\n".to_owned()),
        (json!({"a": "x\n\n", "b": " x\ny"}), "a: |+\n  x\n\nb: |2-\n   x\n  y\n".to_owned()),
        (
            json!({"a": "x \ny", "b": "t\tx", "c": "ü", "d": "😀"}),
            "a: \"x \\ny\"\nb: \"t\\tx\"\nc: ü\nd: \"\\U0001F600\"\n".to_owned(),
        ),
        (json!({"a10": 1, "a9": 1, "A": 1, "a-b": 1, "ab": 1}), "A: 1\na-b: 1\na9: 1\na10: 1\nab: 1\n".to_owned()),
        (json!({"yes": 1, "1": 2}), "\"1\": 2\n\"yes\": 1\n".to_owned()),
        (json!({"a": long}), format!("a: {}\n  {}\n", "word ".repeat(16).trim_end(), "word ".repeat(14).trim_end())),
        (json!("x"), "x\n".to_owned()),
        (json!({"f": 1e21, "g": 1e-7}), "f: 1e+21\ng: 1e-07\n".to_owned()),
        (
            json!({"f": 1_234_567.5, "g": 123_456.5, "h": -1e19}),
            "f: 1.2345675e+06\ng: 123456.5\nh: -1e+19\n".to_owned(),
        ),
        (json!({"f": 1e20, "g": 1e-4}), "f: 1e+20\ng: 0.0001\n".to_owned()),
    ];
    for (value, expected) in rows {
        let text = to_string(&value);
        assert_eq!(text, expected, "{value}");
        assert_eq!(parse(&text), Ok(value));
    }
    // It reads as an integer, in Go too.
    assert_eq!(to_string(&json!(13_835_058_055_282_163_713.0)), "13835058055282164000\n");
}

#[test]
fn long_keys_and_those_of_several_lines_are_marked() {
    // As kubectl 1.33 prints them.
    let key = |letter: &str, length: usize| letter.repeat(length);
    let (a, b, c, d, e) = (key("a", 128), key("b", 129), key("c", 140), key("d", 130), key("w ", 70));
    let value = json!({
        "m": {a.as_str(): "v", b.as_str(): ["x", {"y": 1}], c.as_str(): {"n": 1, "o": [1]}, d.as_str(): {}, e.as_str(): "1", "k\nl": "v"},
    });
    let folded = format!("'{}w\n    {}'", "w ".repeat(38), "w ".repeat(31));
    let expected = format!(
        "m:\n  {a}: v\n  ? {b}\n  : - x\n    - \"y\": 1\n  ? {c}\n  : \"n\": 1\n    o:\n    - 1\n  ? {d}\n  : {{}}\n  ? |-\n    k\n    l\n  : v\n  ? {folded}\n  : \"1\"\n"
    );
    assert_eq!(to_string(&value), expected);
    assert_eq!(parse(&expected), Ok(value));
}
