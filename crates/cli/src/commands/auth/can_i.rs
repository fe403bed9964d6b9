//! `kubectl auth can-i`.

use crate::command::{Command, Done};
use crate::failure::Failure;
use crate::flags::{Args, boolean, text};
use crate::output::{line, warning};
use crate::session::{Call, JSON, Session};
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
        text("subresource", "", "SubResource such as pod/log or deployment/scale"),
    ]],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [verb, what] = args.words.as_slice() else {
            return Err(Failure::message(
                "you must specify two arguments: verb resource or verb resource/resourceName.",
            ));
        };
        let spec = if what.starts_with('/') {
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
                        warning(&format!("resource '{}' is not namespace scoped", resource.name));
                    }
                }
                Err(_) if word == "*" => attributes["group"] = json!("*"),
                Err(_) => warning(&format!("the server doesn't have a resource type '{word}'")),
            }
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

fn told(allowed: bool, status: &Value) -> String {
    let mut text = if allowed { "yes" } else { "no" }.to_owned();
    for (field, joint) in [("reason", " - "), ("evaluationError", " - ")] {
        if let Some(why) = status[field].as_str().filter(|why| !why.is_empty()) {
            text.push_str(&format!("{joint}{why}"));
        }
    }
    text
}
