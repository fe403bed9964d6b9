//! Selectors by example: text in, text out, what matches.

use super::*;
use serde_json::json;

fn labels(pairs: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    pairs.split(',').filter_map(pair).collect()
}

#[test]
fn texts_read_and_print() {
    let rows = [
        ("", ""),
        ("a=b", "a=b"),
        ("a==b", "a==b"),
        (" a != b , c", "a!=b,c"),
        ("z,a", "a,z"),
        ("!a", "!a"),
        ("a in (y,x)", "a in (x,y)"),
        ("a notin(x)", "a notin (x)"),
        ("a in ()", "a in ()"),
        ("a in (,b)", "a in (,b)"),
        ("a in (b,)", "a in (,b)"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("a>1,b<2", "a>1,b<2"),
        ("a=", "a="),
        ("a=,b", "a=,b"),
        ("x.io/a=b", "x.io/a=b"),
        ("a in (b,b)", "a in (b)"),
    ];
    for (text, printed) in rows {
        assert_eq!(Selector::parse(text).map(|s| s.to_string()).as_deref(), Ok(printed), "{text}");
    }
}

#[test]
fn refusals_read_as_upstream_writes_them() {
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let rows = [
        ("a=b c".to_owned(), "found 'c', expected: ',' or 'end of string'".to_owned()),
        ("a,".to_owned(), "found '', expected: identifier after ','".to_owned()),
        (",a".to_owned(), "found ',', expected: !, identifier, or 'end of string'".to_owned()),
        ("a b".to_owned(), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt".to_owned()),
        ("a in b".to_owned(), "unable to parse requirement: found 'b' expected: '('".to_owned()),
        ("a in (b".to_owned(), "unable to parse requirement: found '', expected: ',' or ')'".to_owned()),
        ("a=)".to_owned(), "unable to parse requirement: found ')', expected: identifier".to_owned()),
        ("!=a".to_owned(), "found '!=', expected: !, identifier, or 'end of string'".to_owned()),
        ("-a".to_owned(), format!("unable to parse requirement: <nil>: Invalid value: \"-a\": {name}")),
        (
            "a>b".to_owned(),
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer".to_owned(),
        ),
    ];
    for (text, message) in rows {
        assert_eq!(Selector::parse(&text).map_err(|e| e.to_string()), Err(message), "{text}");
    }
}

#[test]
fn matching() {
    let rows = [
        ("", "", true),
        ("a=b", "a=b,c=d", true),
        ("a=b", "a=c", false),
        ("a=b", "", false),
        ("a!=b", "", true),
        ("a!=b", "a=b", false),
        ("a in (b,c)", "a=c", true),
        ("a notin (b,c)", "a=c", false),
        ("a notin (b,c)", "x=y", true),
        ("a", "a=", true),
        ("!a", "a=", false),
        ("a>5", "a=6", true),
        ("a>5", "a=5", false),
        ("a<5", "a=x", false),
        ("a<5", "", false),
        ("a=", "a=", true),
    ];
    for (selector, set, expected) in rows {
        let selector = Selector::parse(selector).unwrap();
        assert_eq!(selector.matches(&labels(set)), expected, "{selector} on {set}");
    }
}

#[test]
fn object_form() {
    let of = |value| Selector::from_json(&value).map(|s| s.to_string()).map_err(|e| e.to_string());
    assert_eq!(of(json!({"matchLabels": {"b": "1", "a": "2"}})).as_deref(), Ok("a=2,b=1"));
    let expressions = json!({"matchExpressions": [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "DoesNotExist"},
    ]});
    assert_eq!(of(expressions).as_deref(), Ok("a in (x,y),!b"));
    assert_eq!(
        of(json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]})),
        Err("\"Gt\" is not a valid label selector operator".to_owned())
    );
    assert_eq!(
        of(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})),
        Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned())
    );
    assert!(!Selector::from_json(&json!(null)).unwrap().matches(&labels("a=b")));
    assert!(Selector::from_json(&json!({})).unwrap().matches(&labels("a=b")));
    assert_eq!(Selector::parse("a=b,c").unwrap().exact_value("a"), Some("b"));
}
