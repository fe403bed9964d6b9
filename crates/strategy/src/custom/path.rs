//! JSON paths as definitions use them: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`,
//! `.spec.list[0].name`, `.metadata.labels['a.b/c']`.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `..`: everything below, at any depth.
    Deep,
    /// `[?(@.a.b=="x")]`; no comparison: the field is there.
    Filter(Vec<String>, Option<(Compare, Value)>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// None for what cannot be read; braces and the leading dot may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        let mut first = true;
        while !rest.is_empty() {
            rest = step(rest, first, &mut steps)?;
            first = false;
        }
        (!steps.is_empty()).then_some(JsonPath(steps))
    }

    /// The names of a path that goes through fields only.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let name = |step: &'_ Step| matches!(step, Step::Field(_));
        self.0.iter().all(name).then(|| {
            let fields = self.0.iter().filter_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            });
            fields.collect()
        })
    }

    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        self.0.iter().fold(vec![root], |found, step| found.into_iter().flat_map(|value| step.take(value)).collect())
    }

    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.find(root).into_iter().next()
    }

    /// Sets what stands at a path of fields, making objects on the way.
    pub fn set(&self, root: &mut Value, to: Value) {
        let Some(fields) = self.fields() else { return };
        let mut here = root;
        for field in fields {
            if !here.is_object() {
                *here = Value::Object(serde_json::Map::new());
            }
            here = &mut here[field];
        }
        *here = to;
    }
}

/// Reads one step off the front.
fn step<'t>(text: &'t str, first: bool, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(rest) = text.strip_prefix("..") {
        steps.push(Step::Deep);
        return name(rest, steps);
    }
    if let Some(rest) = text.strip_prefix('.') {
        return if rest.starts_with('[') { Some(rest) } else { name(rest, steps) };
    }
    if let Some(rest) = text.strip_prefix('[') {
        let end = closing(rest)?;
        steps.push(bracket(rest[..end].trim())?);
        return Some(&rest[end + 1..]);
    }
    if first { name(text, steps) } else { None }
}

fn name<'t>(text: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    let mut name = String::new();
    let mut rest = text.char_indices();
    let end = loop {
        match rest.next() {
            None => break text.len(),
            Some((_, '\\')) => name.push(rest.next()?.1),
            Some((at, '.' | '[')) => break at,
            Some((_, letter)) => name.push(letter),
        }
    };
    if name.is_empty() {
        // A path may be `.` alone, or end in a filter's bracket.
        return (text.is_empty() || text.starts_with('[')).then_some(&text[end..]);
    }
    steps.push(if name == "*" { Step::All } else { Step::Field(name) });
    Some(&text[end..])
}

/// Where the bracket closes, past quotes and brackets inside.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"'))
}

fn bracket(text: &str) -> Option<Step> {
    if let Some(filter) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return self::filter(filter);
    }
    if let Some(name) = unquoted(text) {
        return Some(Step::Field(name.to_owned()));
    }
    if text == "*" { Some(Step::All) } else { text.parse().ok().map(Step::Index) }
}

fn filter(text: &str) -> Option<Step> {
    const COMPARISONS: [(&str, Compare); 6] = [
        ("==", Compare::Equal),
        ("!=", Compare::NotEqual),
        ("<=", Compare::LessOrEqual),
        (">=", Compare::GreaterOrEqual),
        ("<", Compare::Less),
        (">", Compare::Greater),
    ];
    let path = |text: &str| -> Option<Vec<String>> {
        let inner = JsonPath::parse(text.trim().strip_prefix('@')?)?;
        Some(inner.fields()?.into_iter().map(str::to_owned).collect())
    };
    for (sign, compare) in COMPARISONS {
        let Some((left, right)) = text.split_once(sign) else { continue };
        let right = right.trim();
        let value = match unquoted(right) {
            Some(text) => Value::String(text.to_owned()),
            None => serde_json::from_str(right).ok()?,
        };
        return Some(Step::Filter(path(left)?, Some((compare, value))));
    }
    Some(Step::Filter(path(text)?, None))
}

impl Step {
    fn take<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Step::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Step::Index(at), Value::Array(items)) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let at = if *at < 0 { length + at } else { *at };
                usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
            }
            (Step::All, Value::Array(items)) => items.iter().collect(),
            (Step::All, Value::Object(fields)) => fields.values().collect(),
            (Step::Deep, value) => {
                let mut found = Vec::new();
                descend(value, &mut found);
                found
            }
            (Step::Filter(path, test), Value::Array(items)) => {
                items.iter().filter(|item| passes(item, path, test.as_ref())).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| descend(field, found)),
        _ => {}
    }
}

fn passes(item: &Value, path: &[String], test: Option<&(Compare, Value)>) -> bool {
    let Some(found) = path.iter().try_fold(item, |here, name| here.get(name)) else { return false };
    let Some((compare, wanted)) = test else { return true };
    let order = match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) => (a == b).then_some(std::cmp::Ordering::Equal),
    };
    match compare {
        Compare::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Compare::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
        Compare::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Compare::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Compare::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Compare::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_columns_show() {
        let object = json!({"spec": {"replicas": 3, "list": [{"n": "a"}, {"n": "b"}]}, "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]}});
        for (path, wanted) in [
            (".spec.replicas", json!([3])),
            ("{.spec.replicas}", json!([3])),
            ("spec.replicas", json!([3])),
            (".spec.list[-1].n", json!(["b"])),
            (".spec.list[*].n", json!(["a", "b"])),
            (".metadata.labels['a.b/c']", json!(["x"])),
            (r".metadata.labels.a\.b/c", json!(["x"])),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
            ("..n", json!(["a", "b"])),
            (".spec.missing", json!([])),
        ] {
            let found: Vec<&Value> = JsonPath::parse(path).unwrap().find(&object);
            assert_eq!(json!(found), wanted, "{path}");
        }
        for bad in ["", ".spec.list[", ".spec.list[x]", ".a[?(b)]"] {
            assert_eq!(JsonPath::parse(bad), None, "{bad}");
        }
        let mut object = json!({});
        JsonPath::parse(".spec.replicas").unwrap().set(&mut object, 2.into());
        assert_eq!(object, json!({"spec": {"replicas": 2}}));
    }
}
