//! `replacements`: a value of one resource put into fields of others.

use super::file::Kustomization;
use super::load;
use super::patch::selected;
use super::resource::Resource;
use crate::failure::{Failure, Outcome};
use crate::jsonpath::text_of;
use serde_json::{Value, json};
use std::path::Path;

pub fn replace(root: &Path, file: &Kustomization, all: &mut [Resource]) -> Outcome {
    for entry in file.list("replacements") {
        match entry["path"].as_str() {
            Some(path) => {
                let text = load::read(root, path)?;
                let inner = wire::yaml::parse(&text).map_err(|why| Failure::message(why.to_string()))?;
                let list = inner.as_array().cloned().unwrap_or_else(|| vec![inner]);
                list.iter().try_for_each(|one| apply(one, all))?;
            }
            None => apply(entry, all)?,
        }
    }
    Ok(())
}

fn apply(entry: &Value, all: &mut [Resource]) -> Outcome {
    let source = value_of(&entry["source"], all)?;
    let targets = entry["targets"].as_array().map_or(&[][..], Vec::as_slice);
    for target in targets {
        let mut chosen = selected(all, &exact(&target["select"]))?;
        for rejected in target["reject"].as_array().into_iter().flatten() {
            let rejected = selected(all, &exact(rejected))?;
            chosen.retain(|at| !rejected.contains(at));
        }
        let paths: Vec<&str> =
            target["fieldPaths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let paths = if paths.is_empty() { vec!["metadata.name"] } else { paths };
        for at in chosen {
            for path in &paths {
                put(&mut all[at], path, &source, &target["options"])?;
            }
        }
    }
    Ok(())
}

/// A selector's words are taken literally here.
fn exact(select: &Value) -> Value {
    let mut select = select.clone();
    for field in ["group", "version", "kind", "name", "namespace"] {
        if let Some(text) = select[field].as_str() {
            select[field] = json!(regex::escape(text));
        }
    }
    select
}

fn value_of(source: &Value, all: &[Resource]) -> Outcome<Value> {
    let found = selected(all, &exact(source))?;
    let [at] = found.as_slice() else {
        let text = if found.is_empty() { "nothing selected by" } else { "multiple matches for selector" };
        return Err(Failure::message(format!("{text} {}", crate::print::json::compact(source))));
    };
    let path = source["fieldPath"].as_str().unwrap_or("metadata.name");
    let mut object = all[*at].object.clone();
    let mut value = None;
    walk(&mut object, &steps(path), false, &mut |found| value = Some(found.clone()));
    let Some(value) = value else {
        return Err(Failure::message(format!(
            "fieldPath `{path}` is missing for replacement source {}",
            all[*at].shown()
        )));
    };
    let Some(delimiter) = source["options"]["delimiter"].as_str().filter(|text| !text.is_empty()) else {
        return Ok(value);
    };
    let index = usize::try_from(source["options"]["index"].as_i64().unwrap_or_default()).unwrap_or_default();
    let text = text_of(&value);
    let part = text.split(delimiter).nth(index);
    part.map(|part| json!(part))
        .ok_or_else(|| Failure::message(format!("options.index {index} is out of bounds for value {text}")))
}

fn put(resource: &mut Resource, path: &str, source: &Value, options: &Value) -> Outcome {
    let mut found = 0;
    walk(&mut resource.object, &steps(path), options["create"] == true, &mut |place| {
        found += 1;
        *place = match options["delimiter"].as_str().filter(|text| !text.is_empty()) {
            Some(delimiter) => json!(spliced(&text_of(place), delimiter, options["index"].as_i64(), &text_of(source))),
            None => source.clone(),
        };
    });
    if found == 0 {
        return Err(Failure::message(format!(
            "unable to find field {path:?} in replacement target {}",
            resource.shown()
        )));
    }
    Ok(())
}

fn spliced(old: &str, delimiter: &str, index: Option<i64>, new: &str) -> String {
    let mut parts: Vec<&str> = old.split(delimiter).collect();
    match usize::try_from(index.unwrap_or_default()) {
        Err(_) => parts.insert(0, new),
        Ok(at) if at < parts.len() => parts[at] = new,
        Ok(_) => parts.push(new),
    }
    parts.join(delimiter)
}

/// `spec.containers.[name=a].image`: dots between, `\.` for one in a name, `[key=value]` and `*`
/// for items of lists.
fn steps(path: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut chars = path.chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        let last = steps.len() - 1;
        match c {
            '\\' if chars.peek() == Some(&'.') => steps[last].extend(chars.next()),
            '.' if !inside => steps.push(String::new()),
            c => {
                inside = (inside || c == '[') && c != ']';
                steps[last].push(c);
            }
        }
    }
    steps
}

fn walk(value: &mut Value, steps: &[String], create: bool, change: &mut dyn FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else {
        change(value);
        return;
    };
    let chosen = step.strip_prefix('[').and_then(|step| step.strip_suffix(']'));
    match value {
        Value::Array(list) => {
            for (at, item) in list.iter_mut().enumerate() {
                let is_it = match chosen.and_then(|chosen| chosen.split_once('=')) {
                    Some((key, wanted)) => text_of(&item[key]) == wanted,
                    None => step == "*" || step.parse() == Ok(at),
                };
                if is_it {
                    walk(item, rest, create, change);
                }
            }
        }
        Value::Object(map) if step == "*" => map.values_mut().for_each(|child| walk(child, rest, create, change)),
        Value::Object(map) => {
            if create && !map.contains_key(step) {
                let next = if rest.is_empty() { Value::Null } else { json!({}) };
                map.insert(step.clone(), next);
            }
            if let Some(child) = map.get_mut(step) {
                walk(child, rest, create, change);
            }
        }
        _ => {}
    }
}
