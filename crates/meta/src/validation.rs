//! The forms of names, keys and values, with upstream's messages (apimachinery `util/validation`).
//!
//! Each check returns what is wrong with the value; empty means nothing is. Where the value stands
//! in its object is the caller's to say. Called by selectors, strategies and kubectl.

/// What a value may not be, one sentence each.
pub type Problems = Vec<String>;

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const DNS_1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_1123_LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const DNS_1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS_1123_SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const DNS_1035_LABEL_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_NAME_TEXT: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// The sentence upstream ends such a message with: examples and the pattern.
fn pattern_message(text: &str, pattern: &str, examples: &[&str]) -> String {
    // Upstream's two blanks before each further "or"; tools match on them.
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    let mut message = format!("{text} (e.g. {}", examples.join(" or "));
    message.push_str(&format!("regex used for validation is '{pattern}')"));
    message
}

fn too_long(limit: usize, value: &str, problems: &mut Problems) {
    if value.len() > limit {
        problems.push(format!("must be no more than {limit} characters"));
    }
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_label_form(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    is_lower_alphanumeric(*first)
        && is_lower_alphanumeric(*last)
        && bytes.iter().all(|byte| is_lower_alphanumeric(*byte) || *byte == b'-')
}

/// `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`
fn is_name_form(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_subdomain_form(value: &str) -> bool {
    value.split('.').all(is_label_form)
}

/// A DNS label: pod host names, namespaces, ports' names of old.
pub fn dns1123_label(value: &str) -> Problems {
    let mut problems = Problems::new();
    too_long(LABEL_MAX, value, &mut problems);
    if !is_label_form(value) {
        if is_subdomain_form(value) {
            problems.push("must not contain dots".to_owned());
        } else {
            problems.push(pattern_message(DNS_1123_LABEL_TEXT, DNS_1123_LABEL, &["my-name", "123-abc"]));
        }
    }
    problems
}

/// Dotted DNS labels: the name of most objects.
pub fn dns1123_subdomain(value: &str) -> Problems {
    let mut problems = Problems::new();
    too_long(SUBDOMAIN_MAX, value, &mut problems);
    if !is_subdomain_form(value) {
        problems.push(pattern_message(DNS_1123_SUBDOMAIN_TEXT, DNS_1123_SUBDOMAIN, &["example.com"]));
    }
    problems
}

/// A DNS label that starts with a letter: Services.
pub fn dns1035_label(value: &str) -> Problems {
    let mut problems = Problems::new();
    too_long(LABEL_MAX, value, &mut problems);
    if !(is_label_form(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        let pattern = "[a-z]([-a-z0-9]*[a-z0-9])?";
        problems.push(pattern_message(DNS_1035_LABEL_TEXT, pattern, &["my-name", "abc-123"]));
    }
    problems
}

/// `*.example.com`: hosts of an Ingress.
pub fn wildcard_dns1123_subdomain(value: &str) -> Problems {
    let mut problems = Problems::new();
    too_long(SUBDOMAIN_MAX, value, &mut problems);
    if !value.strip_prefix("*.").is_some_and(is_subdomain_form) {
        let pattern = format!("\\*\\.{DNS_1123_SUBDOMAIN}");
        problems.push(pattern_message(WILDCARD_TEXT, &pattern, &["*.example.com"]));
    }
    problems
}

/// `name` or `prefix/name`: keys of labels and annotations, resource names, taints.
pub fn qualified_name(value: &str) -> Problems {
    let examples = &["MyName", "my.name", "123-abc"];
    let mut problems = Problems::new();
    let mut parts = value.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(dns1123_subdomain(prefix).into_iter().map(|problem| format!("prefix part {problem}")));
            }
            name
        }
        _ => {
            let text = format!("a valid label key {QUALIFIED_NAME_TEXT}");
            let message = pattern_message(&text, QUALIFIED_NAME, examples);
            return vec![format!(
                "{message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        problems.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_name_form(name) {
        problems.push(pattern_message(&format!("name part {QUALIFIED_NAME_TEXT}"), QUALIFIED_NAME, examples));
    }
    problems
}

pub fn label_value(value: &str) -> Problems {
    let mut problems = Problems::new();
    if value.len() > LABEL_MAX {
        problems.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !(value.is_empty() || is_name_form(value)) {
        let pattern = format!("({QUALIFIED_NAME})?");
        problems.push(pattern_message(LABEL_VALUE_TEXT, &pattern, &["MyValue", "my_value", "12345"]));
    }
    problems
}

pub fn c_identifier(value: &str) -> Problems {
    let starts = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Problems::new();
    }
    let text = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    vec![pattern_message(text, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// The relaxed rule, the default since 1.34: any printable ASCII but `=`.
pub fn env_var_name(value: &str) -> Problems {
    if !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Problems::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// The rule before 1.34, still used where names come from the keys of a ConfigMap.
pub fn strict_env_var_name(value: &str) -> Problems {
    let starts = value.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let mut problems = Problems::new();
    if !(starts && is_key_form(value)) {
        let text = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
        let examples = &["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
        problems.push(pattern_message(text, "[-._a-zA-Z][-._a-zA-Z0-9]*", examples));
    }
    problems.extend(dots(value));
    problems
}

/// A key of a ConfigMap or Secret: also a file name.
pub fn config_map_key(value: &str) -> Problems {
    let mut problems = Problems::new();
    too_long(SUBDOMAIN_MAX, value, &mut problems);
    if !is_key_form(value) {
        let text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        problems.push(pattern_message(text, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    problems.extend(dots(value));
    problems
}

fn is_key_form(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Names that would climb out of a folder.
fn dots(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

pub fn http_header_name(value: &str) -> Problems {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Problems::new();
    }
    let text = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![pattern_message(text, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

pub fn percent(value: &str) -> Problems {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Problems::new();
    }
    let text = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![pattern_message(text, "[0-9]+%", &["1%", "93%"])]
}

pub fn port_number(port: i64) -> Problems {
    in_range(port, 1, 65535)
}

pub fn in_range(number: i64, low: i64, high: i64) -> Problems {
    if (low..=high).contains(&number) {
        return Problems::new();
    }
    vec![format!("must be between {low} and {high}, inclusive")]
}

/// A port's name as IANA services are named.
pub fn port_name(value: &str) -> Problems {
    let mut problems = Problems::new();
    if value.len() > 15 {
        problems.push("must be no more than 15 characters".to_owned());
    }
    if value.is_empty() || !value.bytes().all(|byte| is_lower_alphanumeric(byte) || byte == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

/// What every object name must be, as it becomes a segment of a URL path.
pub fn path_segment_name(value: &str) -> Problems {
    match value {
        "." | ".." => vec![format!("may not be '{value}'")],
        _ => ["/", "%"]
            .into_iter()
            .filter(|part| value.contains(part))
            .map(|part| format!("may not contain '{part}'"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        type Check = fn(&str) -> Problems;
        let long = "a".repeat(64);
        let rows: &[(&str, Check, &[&str], &[&str])] = &[
            ("label", dns1123_label, &["a", "a-b", "1-2"], &["", "A", "-a", "a-", "a.b", "a_b", &long]),
            ("subdomain", dns1123_subdomain, &["a", "a.b-c.1"], &["", ".a", "a..b", "a.", "A.b"]),
            ("1035", dns1035_label, &["a", "a-1"], &["1a", "", "A", "a-"]),
            ("wildcard", wildcard_dns1123_subdomain, &["*.a.b"], &["*", "*.", "a.b", "*.*.a"]),
            (
                "qualified",
                qualified_name,
                &["a", "A.b_c-d", "x.y/Z", "1"],
                &["", "/a", "a/", "a/b/c", "-a", "a b", "X/y", &long],
            ),
            ("value", label_value, &["", "a", "A_1.b-c"], &["-a", "a b", "a/b", &long]),
            ("c", c_identifier, &["a", "_A1"], &["", "1a", "a-b"]),
            ("env", env_var_name, &["a b", "1", "a:b"], &["", "a=b", "ü", "a\n"]),
            ("strict env", strict_env_var_name, &["a", "_.-1"], &["", "1a", "..", ".", "..a", "a b"]),
            ("key", config_map_key, &["a.b", "1", "_"], &["", ".", "..", "..a", "a/b"]),
            ("header", http_header_name, &["X-A"], &["", "a_b"]),
            ("percent", percent, &["1%", "100%"], &["", "%", "1", "-1%"]),
            ("port name", port_name, &["http", "h-1"], &["", "1", "-a", "a--b", "HTTP", "a234567890123456"]),
            ("segment", path_segment_name, &["a", "..."], &[".", "..", "a/b", "a%b"]),
        ];
        for (name, check, good, bad) in rows {
            for value in *good {
                assert!(check(value).is_empty(), "{name}: {value:?} is fine but: {:?}", check(value));
            }
            for value in *bad {
                assert!(!check(value).is_empty(), "{name}: {value:?} should be refused");
            }
        }
    }

    #[test]
    fn messages_read_as_upstream_writes_them() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            dns1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            qualified_name("a b"),
            [
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            label_value("-"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
    }
}
