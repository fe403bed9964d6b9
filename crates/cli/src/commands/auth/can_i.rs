//! `kubectl auth can-i`.

use super::VERBS;
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean, text};
use crate::output::{line, out, warning};
use crate::print::table::aligned;
use crate::session::{Call, JSON, Session};
use crate::shared_flags::NO_HEADERS;
use http::Method;
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "can-i",
    usage: "auth can-i VERB [TYPE | TYPE/NAME | NONRESOURCEURL] [options]",
    short: "Check whether an action is allowed",
    examples: "# Check to see if I can create pods in any namespace\nkubectl auth can-i create pods --all-namespaces\n\n# Check to see if I can access the URL /logs/\nkubectl auth can-i get /logs/",
    flags: &[&[
        boolean("all-namespaces", "If true, check the specified action in all namespaces.").short('A'),
        boolean("quiet", "If true, suppress output and just return the exit code.").short('q'),
        boolean("list", "If true, prints all allowed actions."),
        NO_HEADERS,
        text("subresource", "", "SubResource such as pod/log or deployment/scale"),
    ]],
    run: Some(run),
    ..Command::EMPTY
};

/// What may be asked of URLs.
const URL_VERBS: [&str; 8] = ["get", "put", "post", "head", "options", "delete", "patch", "*"];

fn warn_unless_known(verb: &str, known: &[&str]) {
    if !known.contains(&verb) {
        warning(&format!("verb '{verb}' is not a known verb\n"));
    }
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.bool("list") {
            return list(session, &args).await;
        }
        let [verb, what] = args.words.as_slice() else {
            let text = "you must specify two arguments: verb resource or verb resource/resourceName.";
            return Err(Failure::plain(format!("error: {text}\nSee '{} -h' for help and examples.", session.path)));
        };
        let spec = if what.starts_with('/') {
            warn_unless_known(verb, &URL_VERBS);
            json!({"nonResourceAttributes": {"path": what, "verb": verb}})
        } else {
            let (word, name) = what.split_once('/').unwrap_or((what, ""));
            let mut attributes =
                json!({"verb": verb, "resource": word, "name": name, "subresource": args.text("subresource")});
            match session.resource(word).await {
                Ok(resource) => {
                    attributes["group"] = json!(resource.group);
                    attributes["resource"] = json!(resource.name);
                    if !resource.namespaced {
                        warning(&format!("resource '{}' is not namespace scoped\n", resource.name));
                    }
                }
                Err(_) if word == "*" => attributes["group"] = json!("*"),
                Err(_) => warning(&format!("the server doesn't have a resource type '{word}'\n")),
            }
            warn_unless_known(verb, &VERBS);
            if !args.bool("all-namespaces") {
                attributes["namespace"] = json!(session.namespace().await?);
            }
            json!({"resourceAttributes": attributes})
        };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec,
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = session.json(Call::new(Method::POST, path).body(JSON, review.to_string())).await?;
        let allowed = answer["status"]["allowed"] == true;
        if !args.bool("quiet") {
            line(&told(allowed, &answer["status"]));
        }
        if allowed { Ok(()) } else { Err(Failure::Code(1)) }
    })
}

/// Everything that one may do in the namespace, as the server's rules say.
async fn list(session: &Session, args: &Args) -> Outcome {
    if !args.words.is_empty() {
        return Err(Failure::message("list option must be specified with no arguments"));
    }
    let namespace = if args.bool("all-namespaces") { String::new() } else { session.namespace().await? };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = session.json(Call::new(Method::POST, path).body(JSON, review.to_string())).await?;
    let status = &answer["status"];
    if status["incomplete"] == true {
        let why = status["evaluationError"].as_str().unwrap_or_default();
        warning(&format!("the list may be incomplete: {why}"));
    }
    let mut rows: Vec<Vec<String>> = rules(status).iter().map(Rule::row).collect();
    if !args.bool("no-headers") {
        let header = ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"];
        rows.insert(0, header.map(str::to_owned).to_vec());
    }
    out(&aligned(&rows));
    Ok(())
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a rule says about one resource or one URL.
struct Rule {
    group: String,
    resource: String,
    names: Vec<String>,
    url: String,
    verbs: Vec<String>,
}

impl Rule {
    fn row(&self) -> Vec<String> {
        let shown = match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        };
        let (names, verbs) = (self.names.join(" "), self.verbs.join(" "));
        vec![shown, format!("[{}]", self.url), format!("[{names}]"), format!("[{verbs}]")]
    }

    /// kubectl's order: by verbs, then by what they are allowed on.
    fn key(&self) -> String {
        let (verbs, names) = (self.verbs.join(" "), self.names.join(" "));
        format!("{verbs}],{}],{}],{names}],{}]", self.group, self.resource, self.url)
    }
}

/// All rules taken apart, those about the same put together.
fn rules(status: &Value) -> Vec<Rule> {
    let mut all: Vec<Rule> = Vec::new();
    let mut add = |rule: Rule| {
        let same = |one: &&mut Rule| {
            // kubectl tells URLs as often as rules do.
            rule.url.is_empty()
                && one.group == rule.group
                && one.resource == rule.resource
                && one.names == rule.names
                && one.url == rule.url
        };
        match all.iter_mut().find(same) {
            Some(one) => {
                let more = rule.verbs.into_iter().filter(|verb| !one.verbs.contains(verb)).collect::<Vec<_>>();
                one.verbs.extend(more);
            }
            None => all.push(rule),
        }
    };
    for rule in status["resourceRules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let (names, verbs) = (texts(&rule["resourceNames"]), texts(&rule["verbs"]));
                add(Rule { group: group.clone(), resource, names, url: String::new(), verbs });
            }
        }
    }
    for rule in status["nonResourceRules"].as_array().into_iter().flatten() {
        for url in texts(&rule["nonResourceURLs"]) {
            let verbs = texts(&rule["verbs"]);
            add(Rule { group: String::new(), resource: String::new(), names: Vec::new(), url, verbs });
        }
    }
    all.sort_by_cached_key(Rule::key);
    all
}

fn told(allowed: bool, status: &Value) -> String {
    if allowed {
        return "yes".to_owned();
    }
    let mut text = "no".to_owned();
    for (field, joint) in [("reason", " - "), ("evaluationError", " - ")] {
        if let Some(why) = status[field].as_str().filter(|why| !why.is_empty()) {
            text.push_str(&format!("{joint}{why}"));
        }
    }
    text
}
