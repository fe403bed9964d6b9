//! Roles and their bindings.

use super::page::{Page, items, plain};
use super::{Subject, Written};
use serde_json::Value;
use std::collections::BTreeMap;

fn head(page: &mut Page, object: &Value) {
    page.field(0, "Name", plain(&object["metadata"]["name"]));
    page.pairs("", "Labels", &object["metadata"]["labels"]);
    page.annotations("", &object["metadata"]["annotations"]);
}

/// Rules are shown one resource a line, those of the same resource put together.
pub fn role<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        head(page, subject.object);
        page.line(0, "PolicyRule:");
        page.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
        page.line(1, "---------\t-----------------\t--------------\t-----");
        let mut verbs_of: BTreeMap<Row, Vec<String>> = BTreeMap::new();
        for rule in items(&subject.object["rules"]) {
            for row in rows(rule) {
                let all = verbs_of.entry(row).or_default();
                let new: Vec<String> = items(&rule["verbs"]).map(plain).filter(|verb| !all.contains(verb)).collect();
                all.extend(new);
            }
        }
        let mut lines: Vec<(String, String)> = verbs_of
            .into_iter()
            .map(|(row, verbs)| {
                let Row { group, resource, name, url } = row;
                let verbs = verbs.join(" ");
                // Upstream sorts rules by how Go prints them: the verbs first.
                let order = format!("[{verbs}],[{group}],[{resource}],[{name}],[{url}]");
                (order, format!("{}\t[{url}]\t[{name}]\t[{verbs}]", qualified(&resource, &group)))
            })
            .collect();
        lines.sort();
        lines.into_iter().for_each(|(_, line)| page.line(1, line));
        Ok(())
    })
}

/// One line of a role's rules.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    group: String,
    resource: String,
    name: String,
    url: String,
}

fn rows(rule: &Value) -> Vec<Row> {
    let empty = String::new;
    let urls = items(&rule["nonResourceURLs"]);
    let mut rows: Vec<Row> =
        urls.map(|url| Row { group: empty(), resource: empty(), name: empty(), url: plain(url) }).collect();
    let mut names: Vec<String> = items(&rule["resourceNames"]).map(plain).collect();
    if names.is_empty() {
        names.push(empty());
    }
    for group in items(&rule["apiGroups"]).map(plain) {
        for resource in items(&rule["resources"]).map(plain) {
            let row = |name: &String| Row {
                group: group.clone(),
                resource: resource.clone(),
                name: name.clone(),
                url: empty(),
            };
            rows.extend(names.iter().map(row));
        }
    }
    rows
}

/// `deployments.apps/scale`
fn qualified(resource: &str, group: &str) -> String {
    let (name, sub) = resource.split_once('/').map_or((resource, None), |(name, sub)| (name, Some(sub)));
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let sub = sub.map_or_else(String::new, |sub| format!("/{sub}"));
    format!("{name}{group}{sub}")
}

pub fn binding<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        head(page, object);
        page.line(0, "Role:");
        page.field(1, "Kind", plain(&object["roleRef"]["kind"]));
        page.field(1, "Name", plain(&object["roleRef"]["name"]));
        page.line(0, "Subjects:");
        page.line(1, "Kind\tName\tNamespace");
        page.line(1, "----\t----\t---------");
        for one in items(&object["subjects"]) {
            page.line(1, format!("{}\t{}\t{}", plain(&one["kind"]), plain(&one["name"]), plain(&one["namespace"])));
        }
        Ok(())
    })
}
