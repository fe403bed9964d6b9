//! Printing objects and results: the formats of `-o`.

pub mod age;
pub mod json;
pub mod table;
pub mod tabs;

use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::go_template;
use crate::jsonpath::Template;
use crate::output::{line, out};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// The command's own: a table or a sentence.
    Default,
    Wide,
    Name,
    Json,
    Yaml,
    JsonPath(Template),
    JsonPathAsJson(Template),
    GoTemplate(Box<go_template::Template>),
    /// Headings and what stands below them.
    Columns(Vec<(String, Template)>),
}

const FOR_CHANGES: &str =
    "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,yaml";
const FOR_GET: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml";

impl Format {
    /// Whether it prints whole objects: only there managers are left out unless they are asked for.
    pub fn is_whole(&self) -> bool {
        matches!(self, Format::Json | Format::Yaml)
    }

    /// What `-o` asks for. `get` knows more formats than the commands that change objects.
    pub fn of(args: &Args, is_get: bool) -> Outcome<Self> {
        let output = args.text("output");
        let (name, value) = output.split_once('=').map_or((output, None), |(name, value)| (name, Some(value)));
        let argument = || match value {
            Some(value) => Ok(value.to_owned()),
            None if !args.text("template").is_empty() => Ok(args.text("template").to_owned()),
            None => Err(Failure::message("template format specified but no template given")),
        };
        let file = |path: String| {
            std::fs::read_to_string(&path).map_err(|why| {
                Failure::message(format!("error reading --template {path}, {}", crate::session::io_text(&why)))
            })
        };
        match name {
            "wide" if is_get => Ok(Format::Wide),
            "name" => Ok(Format::Name),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            "" if args.has("template") => go(args, argument()?),
            "" => Ok(Format::Default),
            "go-template" | "template" => go(args, argument()?),
            "go-template-file" | "templatefile" => go(args, file(argument()?)?),
            "jsonpath" => Template::parse(&argument()?).map(Format::JsonPath),
            "jsonpath-as-json" => Template::parse(&argument()?).map(Format::JsonPathAsJson),
            "jsonpath-file" => Template::parse(&file(argument()?)?).map(Format::JsonPath),
            "custom-columns" if is_get => columns(value.unwrap_or_default()),
            "custom-columns-file" if is_get => column_file(&file(value.unwrap_or_default().to_owned())?),
            _ => {
                let allowed = if is_get { FOR_GET } else { FOR_CHANGES };
                Err(Failure::message(format!(
                    "unable to match a printer suitable for the output format {output:?}, allowed formats are: {allowed}"
                )))
            }
        }
    }

    /// Prints one object as a whole. Not for the default and wide formats.
    pub fn print(&self, object: &Value, shown: &str) -> Outcome {
        match self {
            Format::Default | Format::Wide => {}
            Format::Name => line(&format!("{shown}/{}", name_of(object))),
            Format::Json => line(&json::pretty(object)),
            Format::Yaml => out(&wire::yaml::to_string(object)),
            Format::JsonPath(template) => out(&template.render(object)?),
            Format::GoTemplate(template) => {
                let (text, done) = template.render(object);
                out(&text);
                return done;
            }
            Format::JsonPathAsJson(template) => {
                let found: Vec<Value> = template.find(object).into_iter().cloned().collect();
                line(&json::pretty(&Value::Array(found)));
            }
            Format::Columns(columns) => out(&columns_table(columns, &items(object), true)),
        }
        Ok(())
    }
}

fn go(args: &Args, text: String) -> Outcome<Format> {
    let strict = !args.bool("allow-missing-template-keys");
    go_template::Template::parse(&text, strict).map(|template| Format::GoTemplate(Box::new(template)))
}

fn items(object: &Value) -> Vec<&Value> {
    match object["items"].as_array() {
        Some(items) if object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.iter().collect(),
        _ => vec![object],
    }
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub fn namespace_of(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// `NAME:.metadata.name,IMAGE:.spec.containers[*].image`
fn columns(spec: &str) -> Outcome<Format> {
    if spec.is_empty() {
        return Err(Failure::message("custom-columns format specified but no custom columns given"));
    }
    let column = |part: &str| {
        let (header, path) = part.split_once(':').ok_or_else(|| {
            Failure::message(format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"))
        })?;
        Ok((header.to_owned(), Template::relaxed(path)?))
    };
    spec.split(',').map(column).collect::<Outcome<Vec<_>>>().map(Format::Columns)
}

/// Two lines: headings, and the paths below them.
fn column_file(text: &str) -> Outcome<Format> {
    let mut lines = text.lines();
    let words = |line: Option<&str>| -> Vec<String> {
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let (headers, paths) = (words(lines.next()), words(lines.next()));
    if headers.len() != paths.len() || headers.is_empty() {
        return Err(Failure::message("number of headers and field specifications don't match"));
    }
    let column = |(header, path): (String, String)| Ok((header, Template::relaxed(&path)?));
    headers.into_iter().zip(paths).map(column).collect::<Outcome<Vec<_>>>().map(Format::Columns)
}

pub fn columns_table(columns: &[(String, Template)], objects: &[&Value], headers: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if headers {
        rows.push(columns.iter().map(|(header, _)| header.clone()).collect());
    }
    for object in objects {
        let cell = |(_, template): &(String, Template)| {
            let found: Vec<String> = template.find(object).into_iter().map(crate::jsonpath::text_of).collect();
            if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
        };
        rows.push(columns.iter().map(cell).collect());
    }
    table::aligned(&rows)
}

/// What a change is told by: `deployment.apps/web created`, or the object as `-o` wants it.
pub struct Teller {
    pub format: Format,
    pub dry_run: DryRun,
    pub show_managed: bool,
    /// A document was printed: the next one is set apart from it.
    told: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    None,
    Client,
    Server,
}

impl DryRun {
    pub fn of(args: &Args) -> Outcome<Self> {
        match args.text("dry-run") {
            "none" | "false" | "" => Ok(DryRun::None),
            "client" => Ok(DryRun::Client),
            "server" => Ok(DryRun::Server),
            "unchanged" => {
                crate::output::error_line("W --dry-run is deprecated and can be replaced with --dry-run=client.");
                Ok(DryRun::Client)
            }
            other => Err(Failure::message(format!(
                "Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
            ))),
        }
    }

    /// The parameter of a request.
    pub fn parameter(self) -> &'static str {
        if self == DryRun::Server { "All" } else { "" }
    }

    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }
}

impl Teller {
    pub fn of(args: &Args) -> Outcome<Self> {
        Ok(Teller {
            format: Format::of(args, false)?,
            dry_run: DryRun::of(args)?,
            show_managed: args.bool("show-managed-fields"),
            told: AtomicBool::new(false),
        })
    }

    /// `shown` is the resource as results name it.
    pub fn tell(&self, object: &Value, shown: &str, operation: &str) -> Outcome {
        match &self.format {
            Format::Default => {
                line(&format!("{shown}/{} {operation}{}", name_of(object), self.dry_run.suffix()));
                Ok(())
            }
            format => {
                let mut object = object.clone();
                if !self.show_managed && format.is_whole() {
                    hide_managed_fields(&mut object);
                }
                if *format == Format::Yaml && self.told.swap(true, Ordering::Relaxed) {
                    line("---");
                }
                format.print(&object, shown)
            }
        }
    }
}

pub fn hide_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(hide_managed_fields);
    }
}

/// Several objects as one.
pub fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}
