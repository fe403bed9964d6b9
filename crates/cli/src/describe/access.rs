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
        let mut rows: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
        for rule in items(&subject.object["rules"]) {
            let verbs: Vec<String> = items(&rule["verbs"]).map(plain).collect();
            let mut add = |resource: String, urls: String, names: String| {
                let all = rows.entry((resource, urls, names)).or_default();
                all.extend(verbs.iter().filter(|verb| !all.contains(verb)).cloned().collect::<Vec<_>>());
            };
            for url in items(&rule["nonResourceURLs"]) {
                add(String::new(), format!("[{}]", plain(url)), "[]".to_owned());
            }
            for group in items(&rule["apiGroups"]) {
                for resource in items(&rule["resources"]) {
                    let resource = qualified(&plain(resource), &plain(group));
                    if items(&rule["resourceNames"]).next().is_none() {
                        add(resource, "[]".to_owned(), "[]".to_owned());
                        continue;
                    }
                    for name in items(&rule["resourceNames"]) {
                        add(resource.clone(), "[]".to_owned(), format!("[{}]", plain(name)));
                    }
                }
            }
        }
        for ((resource, urls, names), verbs) in rows {
            page.line(1, format!("{resource}\t{urls}\t{names}\t[{}]", verbs.join(" ")));
        }
        Ok(())
    })
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
