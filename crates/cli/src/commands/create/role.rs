//! `kubectl create role` and `clusterrole`.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::commands::auth::VERBS;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, list, repeat};
use crate::output::warning;
use crate::session::Session;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OWN: &[Flag] = &[
    list("verb", "Verb that applies to the resources contained in the rule"),
    list("resource", "Resource that the rule applies to"),
    repeat("resource-name", "Resource in the white list that the rule applies to, repeat this flag for multiple items"),
];

pub static COMMAND: Command = Command {
    name: "role",
    usage: "create role NAME --verb=verb --resource=resource.group/subresource [--resource-name=resourcename] [options]",
    short: "Create a role with single rule",
    flags: &[PRINT, FLAGS, OWN],
    run: Some(|session, args| run(session, args, "Role")),
    ..Command::EMPTY
};

pub static CLUSTER_ROLE: Command = Command {
    name: "clusterrole",
    usage: "create clusterrole NAME --verb=verb --resource=resource.group [--resource-name=resourcename] [options]",
    short: "Create a cluster role",
    flags: &[
        PRINT,
        FLAGS,
        OWN,
        &[
            list("non-resource-url", "A partial url that user should have access to."),
            list("aggregation-rule", "An aggregation label selector for combining ClusterRoles."),
        ],
    ],
    run: Some(|session, args| run(session, args, "ClusterRole")),
    ..Command::EMPTY
};

fn run<'a>(session: &'a Session, args: Args, kind: &'static str) -> Done<'a> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let verbs = args.list("verb");
        if args.has("aggregation-rule") {
            return aggregated(session, &args, name).await;
        }
        if verbs.is_empty() {
            return Err(Failure::message("at least one verb must be specified"));
        }
        for verb in verbs.iter().filter(|verb| !VERBS.contains(&verb.as_str())) {
            warning(&format!("'{verb}' is not a standard resource verb"));
        }
        let urls = args.list("non-resource-url");
        let mut rules = rules(session, &args, &verbs).await?;
        if !urls.is_empty() {
            rules.push(json!({"nonResourceURLs": urls, "verbs": verbs}));
        }
        if rules.is_empty() {
            return Err(Failure::message("at least one resource must be specified"));
        }
        let object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata(name, &[]), "rules": rules,
        });
        finish(session, &args, object, &format!("failed to create {}:", kind.to_lowercase())).await
    })
}

async fn aggregated(session: &Session, args: &Args, name: &str) -> Outcome {
    if args.has("verb") || args.has("resource") || args.has("non-resource-url") || args.has("resource-name") {
        return Err(Failure::message(
            "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames",
        ));
    }
    let labels = crate::commands::expose::pairs(&args.list("aggregation-rule").join(","))?;
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata(name, &[]),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}, "rules": null,
    });
    finish(session, args, object, "failed to create clusterrole:").await
}

/// One rule a group, with the resources asked for under the names they are served as.
async fn rules(session: &Session, args: &Args, verbs: &[String]) -> Outcome<Vec<Value>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in args.list("resource") {
        let (word, sub) = word.split_once('/').map_or((word.as_str(), None), |(word, sub)| (word, Some(sub)));
        let (group, mut name) = if word == "*" {
            (String::new(), "*".to_owned())
        } else {
            let unknown = || Failure::plain(format!("the server doesn't have a resource type {word:?}"));
            let resource = session.resource(word).await.map_err(|failure| match failure {
                Failure::Message(_) => unknown(),
                other => other,
            })?;
            (resource.group, resource.name)
        };
        if let Some(sub) = sub {
            name = format!("{name}/{sub}");
        }
        groups.entry(group).or_default().push(name);
    }
    let names = args.list("resource-name");
    let rule = |(group, resources): (String, Vec<String>)| {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    };
    Ok(groups.into_iter().map(rule).collect())
}
