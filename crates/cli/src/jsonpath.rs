//! Templates of JSON paths as kubectl takes them: `{.items[*].metadata.name}`, `{range …}{end}`,
//! filters, unions, slices, and the relaxed form of custom columns and `--sort-by`.

use crate::failure::{Failure, Outcome};
use serde_json::Value;
use std::cell::Cell;

/// Nesting and length of what `..` may find is that of the object; filters run once an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `$`: from the root, whatever stands before.
    Root,
    Field(String),
    Wildcard,
    /// `..`
    Recursive,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    Union(Vec<Step>),
    Filter(Box<Operand>, Option<(String, Box<Operand>)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

impl Template {
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut parser = Parser { text, chars: text.chars().collect(), at: 0, depth: 0 };
        let (nodes, _) = parser.nodes(false)?;
        Ok(Template { text: text.to_owned(), nodes })
    }

    /// A path that may go without braces and leading dot.
    pub fn relaxed(text: &str) -> Outcome<Self> {
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
        if inner.is_empty() {
            return Err(Failure::message("path template may not be empty"));
        }
        let dot = if inner.starts_with(['.', '[', '$']) { "" } else { "." };
        Template::parse(&format!("{{{dot}{inner}}}"))
    }

    pub fn render(&self, root: &Value) -> Outcome<String> {
        let mut out = String::new();
        render(&self.nodes, root, root, &mut out, &Cell::new(MAX_ROUNDS)).map_err(|why| {
            Failure::message(format!("error executing jsonpath {:?}: Error executing template: {why}", self.text))
        })?;
        Ok(out)
    }

    /// All values that the template's paths find.
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let paths = self.nodes.iter().filter_map(|node| match node {
            Node::Path(steps) => Some(steps),
            _ => None,
        });
        let left = Cell::new(MAX_ROUNDS);
        paths.flat_map(|steps| walk(steps, root, root, &left).unwrap_or_default()).collect()
    }
}

/// Of a template and all that it finds: repeated steps find things again and again.
const MAX_ROUNDS: usize = 50_000_000;
/// Of one step.
const MAX_FOUND: usize = 4_000_000;
const MAX_OUTPUT: usize = 128 << 20;
/// How deep ranges and filters may stand in each other.
const MAX_DEPTH: usize = 100;

fn spend(left: &Cell<usize>, rounds: usize) -> Result<(), String> {
    let rest = left.get().checked_sub(rounds).ok_or_else(|| "the template finds too much".to_owned())?;
    left.set(rest);
    Ok(())
}

fn render(nodes: &[Node], root: &Value, current: &Value, out: &mut String, left: &Cell<usize>) -> Result<(), String> {
    for node in nodes {
        spend(left, 1)?;
        if out.len() > MAX_OUTPUT {
            return Err("the output is too long".to_owned());
        }
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(steps) => {
                for (at, value) in walk(steps, root, current, left)?.into_iter().enumerate() {
                    if out.len() > MAX_OUTPUT {
                        return Err("the output is too long".to_owned());
                    }
                    out.push_str(if at > 0 { " " } else { "" });
                    out.push_str(&text_of(value));
                }
            }
            Node::Range(steps, body) => {
                for item in walk(steps, root, current, left)? {
                    render(body, root, item, out, left)?;
                }
            }
        }
    }
    Ok(())
}

/// A value as it stands in output: strings bare, the rest as JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => crate::print::json::compact(other),
    }
}

fn walk<'v>(steps: &[Step], root: &'v Value, current: &'v Value, left: &Cell<usize>) -> Result<Vec<&'v Value>, String> {
    let mut found = vec![current];
    for step in steps {
        let mut next = Vec::new();
        for value in found {
            let before = next.len();
            take(step, root, value, &mut next, left)?;
            spend(left, 1 + next.len() - before)?;
            if next.len() > MAX_FOUND {
                return Err("the template finds too much".to_owned());
            }
        }
        found = next;
    }
    Ok(found)
}

fn take<'v>(
    step: &Step,
    root: &'v Value,
    value: &'v Value,
    next: &mut Vec<&'v Value>,
    left: &Cell<usize>,
) -> Result<(), String> {
    match (step, value) {
        (Step::Root, _) => next.push(root),
        (Step::Field(name), Value::Object(map)) => next.extend(map.get(name)),
        (Step::Wildcard, Value::Object(map)) => next.extend(map.values()),
        (Step::Wildcard, Value::Array(list)) => next.extend(list),
        (Step::Recursive, value) => descend(value, next),
        (Step::Index(at), Value::Array(list)) => {
            let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
            let place = if *at < 0 { length + at } else { *at };
            let item = usize::try_from(place).ok().and_then(|place| list.get(place));
            next.push(item.ok_or_else(|| format!("array index out of bounds: index {at}, length {length}"))?);
        }
        (Step::Slice(from, to, step), Value::Array(list)) => {
            let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
            let place =
                |at: i64| usize::try_from((if at < 0 { length + at } else { at }).clamp(0, length)).unwrap_or(0);
            let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
            let step = usize::try_from(*step).unwrap_or(1).max(1);
            next.extend(list.iter().take(to).skip(from).step_by(step));
        }
        (Step::Union(parts), value) => {
            for part in parts {
                take(part, root, value, next, left)?;
            }
        }
        (Step::Filter(operand, test), Value::Array(list)) => {
            for item in list {
                if passes(operand, test.as_ref(), root, item, left)? {
                    next.push(item);
                }
            }
        }
        (Step::Filter(operand, test), item @ Value::Object(_)) if passes(operand, test.as_ref(), root, item, left)? => {
            next.push(item);
        }
        _ => {}
    }
    Ok(())
}

fn descend<'v>(value: &'v Value, next: &mut Vec<&'v Value>) {
    next.push(value);
    match value {
        Value::Array(list) => list.iter().for_each(|item| descend(item, next)),
        Value::Object(map) => map.values().for_each(|item| descend(item, next)),
        _ => {}
    }
}

fn passes(
    first: &Operand,
    test: Option<&(String, Box<Operand>)>,
    root: &Value,
    item: &Value,
    left: &Cell<usize>,
) -> Result<bool, String> {
    let values = |operand: &Operand| -> Result<Vec<Value>, String> {
        Ok(match operand {
            Operand::Literal(value) => vec![value.clone()],
            Operand::Path(steps) => walk(steps, root, item, left)?.into_iter().cloned().collect(),
        })
    };
    let first = values(first)?;
    let Some((operator, right)) = test else { return Ok(!first.is_empty()) };
    let (Some(a), right) = (first.first(), values(right)?) else { return Ok(false) };
    let Some(b) = right.first() else { return Ok(false) };
    let order = match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    Ok(match operator.as_str() {
        "==" => a == b || order.is_some_and(|order| order.is_eq()),
        "!=" => a != b,
        "<" => order.is_some_and(|order| order.is_lt()),
        "<=" => order.is_some_and(|order| order.is_le()),
        ">" => order.is_some_and(|order| order.is_gt()),
        ">=" => order.is_some_and(|order| order.is_ge()),
        _ => false,
    })
}

struct Parser<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn fail(&self, why: &str) -> Failure {
        Failure::message(format!("error parsing jsonpath {}, {why}", self.text))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn starts_with(&self, text: &str) -> bool {
        // A text that ended too early has been stepped over.
        self.chars.iter().skip(self.at).take(text.chars().count()).copied().eq(text.chars())
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Up to the end of the text or, inside of a range, its `{end}`; says whether that was met.
    fn deeper(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.fail("it is nested too deeply")) } else { Ok(()) }
    }

    fn nodes(&mut self, inside: bool) -> Outcome<(Vec<Node>, bool)> {
        let mut nodes = Vec::new();
        let mut plain = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            if c != '{' {
                plain.push(c);
                continue;
            }
            if !plain.is_empty() {
                nodes.push(Node::Text(std::mem::take(&mut plain)));
            }
            self.blanks();
            if self.starts_with("end}") {
                self.at += 4;
                if inside {
                    return Ok((nodes, true));
                }
                continue;
            }
            if self.starts_with("range ") {
                self.at += 6;
                self.blanks();
                let steps = self.steps("}")?;
                self.close()?;
                self.deeper()?;
                let (body, ended) = self.nodes(true)?;
                self.depth -= 1;
                if !ended {
                    return Err(self.fail("unterminated range"));
                }
                nodes.push(Node::Range(steps, body));
                continue;
            }
            self.action(&mut nodes)?;
        }
        if !plain.is_empty() {
            nodes.push(Node::Text(plain));
        }
        Ok((nodes, false))
    }

    /// What stands in one pair of braces: a quoted text, or paths.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Outcome {
        loop {
            self.blanks();
            match self.peek() {
                None => return Err(self.fail("unclosed action")),
                Some('}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(quote @ ('"' | '\'')) => {
                    self.at += 1;
                    nodes.push(Node::Text(self.quoted(quote)?));
                }
                Some(_) => {
                    let before = self.at;
                    let steps = self.steps("}")?;
                    if self.at == before {
                        return Err(self.fail(&format!("unrecognized character in action: {:?}", self.peek())));
                    }
                    nodes.push(Node::Path(steps));
                }
            }
        }
    }

    fn close(&mut self) -> Outcome {
        self.blanks();
        if self.eat('}') { Ok(()) } else { Err(self.fail("unclosed action")) }
    }

    fn quoted(&mut self, quote: char) -> Outcome<String> {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                _ if c == quote => return Ok(text),
                '\\' => {
                    let escaped = self.peek().ok_or_else(|| self.fail("unterminated quoted string"))?;
                    self.at += 1;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                _ => text.push(c),
            }
        }
        Err(self.fail("unterminated quoted string"))
    }

    fn steps(&mut self, end: &str) -> Outcome<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            match self.peek() {
                Some('$') => {
                    self.at += 1;
                    steps.push(Step::Root);
                }
                Some('@') => self.at += 1,
                Some('.') => {
                    self.at += 1;
                    if self.eat('.') {
                        steps.push(Step::Recursive);
                    }
                    if self.peek() == Some('[') {
                        continue;
                    }
                    if self.eat('*') {
                        steps.push(Step::Wildcard);
                    } else if let Some(name) = self.name(end) {
                        steps.push(Step::Field(name));
                    }
                }
                Some('[') => {
                    self.at += 1;
                    steps.push(self.bracket()?);
                }
                _ => return Ok(steps),
            }
        }
    }

    /// A field's name; `\.` is a dot in it.
    fn name(&mut self, end: &str) -> Option<String> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                self.at += 1;
                name.extend(self.peek());
                self.at += 1;
                continue;
            }
            if matches!(c, '.' | '[' | ']' | '(' | ')' | ' ' | '=' | '!' | '<' | '>' | '@') || end.contains(c) {
                break;
            }
            name.push(c);
            self.at += 1;
        }
        (!name.is_empty()).then_some(name)
    }

    fn bracket(&mut self) -> Outcome<Step> {
        self.blanks();
        if self.starts_with("?(") {
            self.at += 2;
            return self.filter();
        }
        let mut parts = Vec::new();
        loop {
            self.blanks();
            parts.push(self.bracket_part()?);
            self.blanks();
            if self.eat(']') {
                break;
            }
            if !self.eat(',') {
                return Err(self.fail("unterminated array"));
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Step::Union(parts) })
    }

    fn bracket_part(&mut self) -> Outcome<Step> {
        match self.peek() {
            Some('*') => {
                self.at += 1;
                Ok(Step::Wildcard)
            }
            Some(quote @ ('\'' | '"')) => {
                self.at += 1;
                Ok(Step::Field(self.quoted(quote)?))
            }
            _ => {
                let from = self.integer();
                if !self.eat(':') {
                    let is_open = !self.chars[self.at..].contains(&']');
                    let why = if is_open { "unterminated array" } else { "invalid array index" };
                    return from.map(Step::Index).ok_or_else(|| self.fail(why));
                }
                let to = self.integer();
                let step = if self.eat(':') { self.integer().unwrap_or(1) } else { 1 };
                Ok(Step::Slice(from, to, step))
            }
        }
    }

    fn integer(&mut self) -> Option<i64> {
        let start = self.at;
        self.eat('-');
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect::<String>().parse().ok()
    }

    fn filter(&mut self) -> Outcome<Step> {
        self.deeper()?;
        let left = self.operand()?;
        self.blanks();
        let operators = ["==", "!=", "<=", ">=", "<", ">"];
        let operator = operators.into_iter().find(|operator| self.starts_with(operator));
        let test = match operator {
            None => None,
            Some(operator) => {
                self.at += operator.len();
                Some((operator.to_owned(), Box::new(self.operand()?)))
            }
        };
        self.blanks();
        if !(self.eat(')') && self.eat(']')) {
            return Err(self.fail("unterminated filter"));
        }
        self.depth -= 1;
        Ok(Step::Filter(Box::new(left), test))
    }

    fn operand(&mut self) -> Outcome<Operand> {
        self.blanks();
        match self.peek() {
            Some('@' | '$' | '.') => Ok(Operand::Path(self.steps(")")?)),
            Some(quote @ ('\'' | '"')) => {
                self.at += 1;
                Ok(Operand::Literal(Value::String(self.quoted(quote)?)))
            }
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| !c.is_whitespace() && !")=!<>".contains(c)) {
                    self.at += 1;
                }
                let word: String = self.chars[start..self.at].iter().collect();
                let literal = serde_json::from_str(&word);
                literal.map(Operand::Literal).map_err(|_| self.fail(&format!("cannot convert {word:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_that_ends_too_early_is_refused() {
        for text in
            ["{.a[?(.b  \\", "{.a[?(.b t{m   \\", "{\"\\", "{.a['\\", "{.a\\", "{range .a[*]}{", "{.[?(@.a==\"b\\"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    /// Whatever a template asks for, it ends, and on a stack of 2 MB.
    #[test]
    fn no_template_goes_on_without_end() {
        let object = json!({"items": [{"a": {"b": [1, 2, 3]}}, {"a": {"b": [4, 5]}}]});
        for template in [
            format!("{{{}}}", "..".repeat(50)),
            format!("{}{}", "{range $..}".repeat(30), "{end}".repeat(30)),
            format!("{}{}", "{range .a}".repeat(10_000), "{end}".repeat(10_000)),
            format!("{{.a{}{}}}", "[?(@.a".repeat(10_000), ")]".repeat(10_000)),
        ] {
            let done = Template::parse(&template).and_then(|parsed| parsed.render(&object));
            assert!(done.is_err(), "{}", &template[..40]);
        }
    }

    #[test]
    fn templates_render() {
        let object = json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "annotations": {"x.io/y": "z"}}, "n": 1, "ready": true},
                {"metadata": {"name": "b"}, "n": 2, "tags": ["t", "u", "v"]},
            ],
        });
        let rows = [
            ("{.kind}", "List"),
            ("{$.kind}!", "List!"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].n}{\"\\t\"}{.items[-1:].n}", "1\t2"),
            ("{range .items[*]}{.metadata.name}={.n}{\"\\n\"}{end}", "a=1\nb=2\n"),
            ("{.items[?(@.n==2)].metadata.name}", "b"),
            ("{.items[?(@.n>1)].metadata['name']}", "b"),
            ("{.items[?(@.metadata.name==\"a\")].ready}", "true"),
            ("{.items[?(@.tags)].tags[0:2]}", "t u"),
            ("{.items[0].metadata.annotations.x\\.io/y}", "z"),
            ("{..name}", "a b"),
            ("{.items[*]['metadata.name', 'n']}", "1 2"),
            ("{.none.at.all}", ""),
            ("{.items[1].tags}", "[\"t\",\"u\",\"v\"]"),
            ("{.items[0].metadata.name} {.items[0].n}", "a 1"),
        ];
        for (template, expected) in rows {
            assert_eq!(Template::parse(template).and_then(|t| t.render(&object)).unwrap(), expected, "{template}");
        }
        let relaxed = |text: &str| Template::relaxed(text).unwrap().render(&object).unwrap();
        assert_eq!(
            (relaxed("kind"), relaxed(".kind"), relaxed("{.kind}")),
            ("List".into(), "List".into(), "List".into())
        );
        let out_of_bounds = Template::parse("{.items[7].n}").unwrap().render(&object).unwrap_err().to_string();
        assert!(out_of_bounds.contains("array index out of bounds: index 7, length 2"), "{out_of_bounds}");
        for bad in ["{.a", "{.items[}", "{range .items[*]}x"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
