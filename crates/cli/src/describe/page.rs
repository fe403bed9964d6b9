//! A page in the making: lines at levels, with tabs where columns begin.

use crate::print::tabs::align;
use base::Timestamp;
use serde_json::Value;
use std::fmt::Display;

/// Longer annotations go on lines of their own, cut at this many characters.
const MAX_ANNOTATION: usize = 140;

#[derive(Default)]
pub struct Page {
    done: String,
    open: String,
}

impl Page {
    /// One line, two blanks a level.
    pub fn line(&mut self, level: usize, text: impl Display) {
        let text = text.to_string();
        // Whatever an object says must not steer the terminal.
        let text = text.replace('\u{1b}', "^[");
        self.open.push_str(&"  ".repeat(level));
        self.open.push_str(&text);
        self.open.push('\n');
    }

    /// `Label:` and its value in the next column.
    pub fn field(&mut self, level: usize, label: &str, value: impl Display) {
        self.line(level, format!("{label}:\t{value}"));
    }

    /// The same, only where there is a value.
    pub fn text(&mut self, level: usize, label: &str, value: &Value) {
        let text = crate::jsonpath::text_of(value);
        if !text.is_empty() {
            self.field(level, label, text);
        }
    }

    /// What most pages begin with.
    pub fn head(&mut self, object: &Value) {
        self.field(0, "Name", plain(&object["metadata"]["name"]));
        self.field(0, "Namespace", plain(&object["metadata"]["namespace"]));
        self.pairs("", "Labels", &object["metadata"]["labels"]);
        self.annotations("", &object["metadata"]["annotations"]);
    }

    /// Columns above do not reach below.
    pub fn flush(&mut self) {
        let block = align(&self.open, 0, 2);
        self.done.push_str(&block);
        self.open.clear();
    }

    /// The text with its tabs.
    pub fn unaligned(self) -> String {
        self.done + &self.open
    }

    pub fn finish(mut self) -> String {
        self.flush();
        self.done
    }

    /// `Title:` and a pair a line.
    pub fn pairs(&mut self, indent: &str, title: &str, map: &Value) {
        let mut lines: Vec<String> =
            map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", plain(value))).collect();
        if lines.is_empty() {
            lines.push("<none>".to_owned());
        }
        self.column(indent, title, &lines);
    }

    /// `Title:` and one value a line below each other.
    pub fn column(&mut self, indent: &str, title: &str, lines: &[String]) {
        for (at, line) in lines.iter().enumerate() {
            if at == 0 {
                self.line(0, format!("{indent}{title}:\t{line}"));
            } else {
                self.line(0, format!("\t{line}"));
            }
        }
    }

    pub fn annotations(&mut self, indent: &str, map: &Value) {
        let shown = map.as_object().into_iter().flatten().filter(|(key, _)| *key != crate::last_applied::KEY);
        let mut lines = Vec::new();
        for (key, value) in shown {
            let value = plain(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if key.len() + value.len() + 2 > MAX_ANNOTATION || value.contains('\n') {
                lines.push(format!("{key}:"));
                lines.extend(value.split('\n').map(|line| format!("  {}", shortened(line))));
            } else {
                lines.push(format!("{key}: {value}"));
            }
        }
        if lines.is_empty() {
            lines.push("<none>".to_owned());
        }
        self.column(indent, "Annotations", &lines);
    }
}

fn shortened(line: &str) -> String {
    let limit = MAX_ANNOTATION - 2;
    if line.chars().count() <= limit {
        return line.to_owned();
    }
    line.chars().take(limit).chain("...".chars()).collect()
}

/// A value as text; absent is empty.
pub fn plain(value: &Value) -> String {
    crate::jsonpath::text_of(value)
}

pub fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

pub fn unset(value: &Value) -> String {
    if value.is_null() { "<unset>".to_owned() } else { plain(value) }
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `Mon, 02 Jan 2006 15:04:05 +0000`
pub fn time(value: &Value) -> String {
    match value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
        None => "<unknown>".to_owned(),
    }
}

pub fn titled(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

/// `Kind/name` of the owner that manages the object.
pub fn controller(object: &Value) -> Option<String> {
    let owner = items(&object["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true)?;
    Some(format!("{}/{}", plain(&owner["kind"]), plain(&owner["name"])))
}

/// A selector as text, of either form.
pub fn selector(value: &Value) -> String {
    if value.get("matchLabels").is_none() && value.get("matchExpressions").is_none() {
        return crate::print::table::label_text(value);
    }
    match serde_json::from_value::<meta::labels::LabelSelector>(value.clone()) {
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}

pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}
