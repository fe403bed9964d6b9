//! `kubectl explain`: what the fields of a kind mean, from the server's OpenAPI v3.

use crate::command::{Command, Done};
use crate::discovery::Resource;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, int, text};
use crate::output::out;
use crate::session::{Call, Session};
use serde_json::Value;

/// Descriptions go on in the next line at this column.
const WIDTH: usize = 76;
/// Types may contain themselves; the tree of fields is cut here.
const MAX_DEPTH: usize = 20;
/// So many values of a field are named beside it.
const MAX_ENUM: usize = 4;

const FLAGS: &[Flag] = &[
    text("api-version", "", "Use given api-version (group/version) of the resource."),
    int("max-depth", "0", "Maximum depth of the tree of fields."),
    text("output", "plaintext", "Format in which to render the schema. Valid values are: (plaintext).").short('o'),
    boolean("recursive", "When true, print the name of all the fields recursively. Otherwise, print the available fields with their description.").short('R'),
];

pub static COMMAND: Command = Command {
    name: "explain",
    usage: "explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext] [options]",
    short: "Get documentation for a resource",
    examples: "# Get the documentation of the resource and its fields\nkubectl explain pods\n\n# Get all the fields in the resource\nkubectl explain pods --recursive\n\n# Get the documentation of a specific field of a resource\nkubectl explain pods.spec.containers",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let word = match args.words.as_slice() {
            [] => {
                let text = "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.";
                return Err(Failure::message(text));
            }
            [word] => word.trim_end_matches('.'),
            _ => return Err(Failure::message("We accept only this format: explain RESOURCE")),
        };
        let (resource, fields) = parse(session, word, args.text("api-version")).await?;
        let document = document(session, &resource).await?;
        let schemas = Schemas(&document["components"]["schemas"]);
        let root = schemas.of_kind(&resource)?;
        out(&page(&schemas, &resource, root, &fields, &args)?);
        Ok(())
    })
}

/// The resource, and the fields below it: `deployments.apps.spec` has a group in between.
async fn parse(session: &Session, word: &str, api_version: &str) -> Outcome<(Resource, Vec<String>)> {
    let discovery = session.discovery().await?;
    let parts: Vec<&str> = word.split('.').collect();
    let longest = (1..=parts.len()).rev().find_map(|count| {
        let found = discovery.find(&parts[..count].join(".")).ok()?;
        // `pods.spec` is no resource of a group "spec…".
        (count == 1 || found.group.split('.').next() == Some(parts[1]) || found.version == parts[1])
            .then_some((found, count))
    });
    let Some((resource, count)) = longest else {
        return Err(Failure::plain(format!("the server doesn't have a resource type {:?}", parts[0])));
    };
    let mut resource = resource.clone();
    if !api_version.is_empty() {
        let of_version = |one: &&Resource| one.kind == resource.kind && one.api_version() == api_version;
        let Some(found) = discovery.resources().iter().find(of_version) else {
            let text = format!("couldn't find resource for \"{api_version}, Kind={}\"", resource.kind);
            return Err(Failure::message(text));
        };
        resource = found.clone();
    }
    Ok((resource, parts[count..].iter().map(|part| (*part).to_owned()).collect()))
}

async fn document(session: &Session, resource: &Resource) -> Outcome<Value> {
    let index = session.json(Call::get("/openapi/v3")).await?;
    let key = if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    };
    let Some(path) = index["paths"][&key]["serverRelativeURL"].as_str() else {
        return Err(Failure::message(format!(
            "couldn't find resource for \"{}, Resource={}\"",
            resource.api_version(),
            resource.name
        )));
    };
    session.json(Call::get(path)).await
}

struct Schemas<'a>(&'a Value);

impl<'a> Schemas<'a> {
    fn of_kind(&self, resource: &Resource) -> Outcome<&'a Value> {
        let is = |schema: &&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.into_iter().flatten().any(|kind| {
                kind["group"] == resource.group && kind["version"] == resource.version && kind["kind"] == resource.kind
            })
        };
        let all = self.0.as_object().into_iter().flatten().map(|(_, schema)| schema);
        all.into_iter().find(is).ok_or_else(|| {
            Failure::message(format!(
                "GVR ({}, Resource={}) not found in OpenAPI schema",
                resource.api_version(),
                resource.name
            ))
        })
    }

    /// What a reference points to, or the schema itself.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match reference(schema) {
            Some(name) => &self.0[name],
            None => schema,
        }
    }

    /// The schema whose properties are below: through lists and maps.
    fn inner(&self, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        if schema["items"].is_object() {
            self.inner(&schema["items"])
        } else if schema["additionalProperties"].is_object() && schema["properties"].is_null() {
            self.inner(&schema["additionalProperties"])
        } else {
            schema
        }
    }

    /// `[]Container`, `map[string]string`, `integer`.
    fn type_name(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            let target = &self.0[name];
            // Named types that are plain in JSON (quantities, times) show what they are.
            let plain = target["type"].as_str().filter(|kind| *kind != "object");
            let last = name.rsplit('.').next().unwrap_or(name);
            return match plain {
                Some(_) if target["oneOf"].is_array() => last.to_owned(),
                Some(kind) => self.shown(kind, last),
                None => last.to_owned(),
            };
        }
        if schema["items"].is_object() {
            return format!("[]{}", self.type_name(&schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            return format!("map[string]{}", self.type_name(&schema["additionalProperties"]));
        }
        match schema["type"].as_str() {
            Some("object") | None => "Object".to_owned(),
            Some(kind) => kind.to_owned(),
        }
    }

    fn shown(&self, kind: &str, name: &str) -> String {
        if ["Time", "MicroTime", "Duration"].contains(&name) { kind.to_owned() } else { name.to_owned() }
    }
}

/// References stand alone or, beside a description of the field, in an allOf.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str())?;
    direct.rsplit('/').next()
}

fn page(schemas: &Schemas<'_>, resource: &Resource, root: &Value, fields: &[String], args: &Args) -> Outcome<String> {
    let mut text = String::new();
    if !resource.group.is_empty() {
        text.push_str(&format!("GROUP:      {}\n", resource.group));
    }
    text.push_str(&format!("KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version));
    let mut descriptions = Vec::new();
    let mut schema = root;
    for (at, field) in fields.iter().enumerate() {
        let property = &schemas.inner(schema)["properties"][field];
        if property.is_null() {
            out(&text);
            return Err(Failure::message(format!("field {field:?} does not exist")));
        }
        if at + 1 == fields.len() {
            text.push_str(&format!("FIELD: {field} <{}>\n", schemas.type_name(property)));
            let values = enumeration(schemas.resolve(property), 0);
            text.push_str(if values.is_empty() { "\n" } else { &values });
            descriptions.extend(property["description"].as_str());
        }
        schema = property;
    }
    let target = schemas.inner(schema);
    if let Some(own) = target["description"].as_str().filter(|own| !descriptions.contains(own)) {
        descriptions.push(own);
    }
    text.push_str("\nDESCRIPTION:\n".trim_start_matches(if fields.is_empty() { "\n" } else { "" }));
    if descriptions.is_empty() {
        text.push_str("    <empty>\n");
    }
    descriptions.iter().for_each(|description| text.push_str(&wrapped(description, 4)));
    text.push_str("    \n");
    if target["properties"].as_object().is_some_and(|map| !map.is_empty()) {
        text.push_str("FIELDS:\n");
        let depth = usize::try_from(args.int("max-depth")).unwrap_or(0);
        let depth = if depth == 0 { MAX_DEPTH } else { depth.min(MAX_DEPTH) };
        listing(schemas, target, 1, args.bool("recursive"), depth, &mut text);
    }
    text.push('\n');
    Ok(text)
}

fn listing(schemas: &Schemas<'_>, schema: &Value, level: usize, recursive: bool, depth: usize, text: &mut String) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut properties: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| (*name).clone());
    let indent = "  ".repeat(level);
    for (name, property) in properties {
        let mark = if required.contains(&name.as_str()) { " -required-" } else { "" };
        text.push_str(&format!("{indent}{name}\t<{}>{mark}\n", schemas.type_name(property)));
        text.push_str(&enumeration(schemas.resolve(property), level));
        if recursive {
            if level < depth {
                listing(schemas, schemas.inner(property), level + 1, true, depth, text);
            }
            continue;
        }
        let own = property["description"].as_str();
        let description = own.or_else(|| schemas.resolve(property)["description"].as_str());
        text.push_str(&wrapped(description.unwrap_or("<no description>"), level * 2 + 2));
        text.push('\n');
    }
}

fn enumeration(schema: &Value, level: usize) -> String {
    let values: Vec<&str> = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if values.is_empty() {
        return String::new();
    }
    if level == 0 {
        return format!(
            "ENUM:\n{}\n",
            values.iter().map(|value| format!("    {value}\n")).collect::<String>().trim_end()
        );
    }
    let more = if values.len() > MAX_ENUM { ", ...." } else { "" };
    let shown: Vec<&str> =
        values.iter().take(MAX_ENUM).map(|value| if value.is_empty() { "\"\"" } else { value }).collect();
    format!("{}enum: {}{more}\n", "  ".repeat(level), shown.join(", "))
}

/// Lines of a description, wrapped at blanks and indented; its own line ends stay.
fn wrapped(text: &str, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                out.push_str(&format!("{blanks}{line}\n"));
                line.clear();
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push_str(&format!("{blanks}{line}\n"));
    }
    out
}
