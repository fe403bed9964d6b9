//! Tables: those the server makes (`meta.k8s.io/v1` Table), and kubectl's own in the same style.

use super::tabs::align;
use crate::jsonpath::text_of;
use serde_json::Value;

const MIN_WIDTH: usize = 6;
const PADDING: usize = 3;

/// Cells in kubectl's columns; the last of a row is not padded.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let text: String = rows.iter().map(|row| row.join("\t") + "\n").collect();
    align(&text, MIN_WIDTH, PADDING)
}

/// What of a table is shown.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub wide: bool,
    pub headers: bool,
    pub namespaces: bool,
    /// Names carry this in front: `pod/`.
    pub kind: Option<String>,
    pub show_labels: bool,
    pub label_columns: Vec<String>,
    /// What happened, for watches that tell it.
    pub events: bool,
}

/// The rows of one server table as text cells, headings first where they are wanted.
pub fn rows(table: &Value, view: &View) -> Vec<Vec<String>> {
    rows_of(&columns(table), table, view, None)
}

/// Headings with their priorities.
pub fn columns(table: &Value) -> Vec<(String, i64)> {
    let definitions = table["columnDefinitions"].as_array();
    let column = |column: &Value| {
        let name = column["name"].as_str().unwrap_or_default().to_uppercase();
        (name, column["priority"].as_i64().unwrap_or_default())
    };
    definitions.into_iter().flatten().map(column).collect()
}

/// The same with the columns of an earlier table: in a watch only the first one names them.
pub fn rows_of(columns: &[(String, i64)], table: &Value, view: &View, event: Option<&str>) -> Vec<Vec<String>> {
    let shown: Vec<usize> = (0..columns.len()).filter(|at| view.wide || columns[*at].1 == 0).collect();
    let mut out = Vec::new();
    if view.headers {
        let mut header = Vec::new();
        header.extend(view.events.then(|| "EVENT".to_owned()));
        header.extend(view.namespaces.then(|| "NAMESPACE".to_owned()));
        header.extend(shown.iter().map(|at| columns[*at].0.clone()));
        header.extend(view.label_columns.iter().map(|key| key.rsplit('/').next().unwrap_or(key).to_uppercase()));
        header.extend(view.show_labels.then(|| "LABELS".to_owned()));
        out.push(header);
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let metadata = &row["object"]["metadata"];
        let mut cells = Vec::new();
        if view.events {
            cells.push(format!("{:<8}", event.unwrap_or("ADDED")));
        }
        if view.namespaces {
            cells.push(metadata["namespace"].as_str().unwrap_or_default().to_owned());
        }
        for at in &shown {
            let text = cell(&row["cells"][*at]);
            let is_name = columns[*at].0 == "NAME";
            cells.push(match &view.kind {
                Some(kind) if is_name => format!("{kind}/{text}"),
                _ => text,
            });
        }
        for key in &view.label_columns {
            cells.push(metadata["labels"][key].as_str().unwrap_or_default().to_owned());
        }
        if view.show_labels {
            cells.push(label_text(&metadata["labels"]));
        }
        out.push(cells);
    }
    out
}

pub fn label_text(labels: &Value) -> String {
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text_of(value))).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// One line, whatever the cell holds.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "<none>".to_owned(),
        other => text_of(other),
    };
    match text.find(['\n', '\r', '\u{c}']) {
        Some(at) => format!("{}...", &text[..at]),
        None => text,
    }
}
