//! `kubectl create token`: a service account's token, made by the server.

use super::generate::name;
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, duration, repeat, text};
use crate::output::line;
use crate::print::Format;
use crate::session::{Call, JSON, Session};
use http::Method;
use serde_json::{Value, json};

const OWN: &[Flag] = &[
    repeat(
        "audience",
        "Audience of the requested token. If unset, defaults to requesting a token for use with the Kubernetes API server.",
    ),
    text("bound-object-kind", "", "Kind of an object to bind the token to. Supported kinds are Node, Pod, Secret."),
    text(
        "bound-object-name",
        "",
        "Name of an object to bind the token to. The token will expire when the object is deleted.",
    ),
    text(
        "bound-object-uid",
        "",
        "UID of an object to bind the token to. Requires --bound-object-kind and --bound-object-name.",
    ),
    duration(
        "duration",
        "0s",
        "Requested lifetime of the issued token. If not set or if set to 0, the lifetime will be determined by the server automatically.",
    ),
];

pub static COMMAND: Command = Command {
    name: "token",
    usage: "create token SERVICE_ACCOUNT_NAME [options]",
    short: "Request a service account token",
    examples: "# Request a token to authenticate to the kube-apiserver as the service account \"myapp\" in the current namespace\nkubectl create token myapp",
    flags: &[PRINT, OWN],
    run: Some(run),
    ..Command::EMPTY
};

/// What tokens can be bound to, and their versions.
const KINDS: &[(&str, &str)] = &[("Node", "v1"), ("Pod", "v1"), ("Secret", "v1")];

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let request = request(&args)?;
        let namespace = session.namespace().await?;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = session.json(Call::new(Method::POST, path).body(JSON, request.to_string())).await;
        let answer = answer.map_err(|failure| match failure.status() {
            Some(status) => Failure::message(format!("failed to create token: {}", status.message)),
            None => failure,
        })?;
        let token = answer["status"]["token"].as_str().unwrap_or_default();
        if token.is_empty() {
            return Err(Failure::message("failed to create token: no token in server response"));
        }
        match Format::of(&args, false)? {
            Format::Default => line(token),
            format => format.print(&answer, "tokenrequest.authentication.k8s.io")?,
        }
        Ok(())
    })
}

fn request(args: &Args) -> Outcome<Value> {
    let mut spec = json!({"audiences": args.list("audience")});
    if args.text("duration").starts_with('-') {
        return Err(Failure::message("--duration must be greater than or equal to 0"));
    }
    let lifetime = args.duration("duration");
    if lifetime.subsec_nanos() != 0 {
        return Err(Failure::message("--duration cannot be expressed in units less than seconds"));
    }
    if !lifetime.is_zero() {
        spec["expirationSeconds"] = json!(lifetime.as_secs());
    }
    let (kind, name, uid) =
        (args.text("bound-object-kind"), args.text("bound-object-name"), args.text("bound-object-uid"));
    if kind.is_empty() {
        if !name.is_empty() {
            return Err(Failure::message("--bound-object-name can only be set if --bound-object-kind is provided"));
        }
        if !uid.is_empty() {
            return Err(Failure::message("--bound-object-uid can only be set if --bound-object-kind is provided"));
        }
    } else {
        let Some((_, version)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            return Err(Failure::message("supported --bound-object-kind values are Node, Pod, Secret"));
        };
        if name.is_empty() {
            return Err(Failure::message("--bound-object-name is required if --bound-object-kind is provided"));
        }
        spec["boundObjectRef"] = json!({"apiVersion": version, "kind": kind, "name": name});
        if !uid.is_empty() {
            spec["boundObjectRef"]["uid"] = json!(uid);
        }
    }
    Ok(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}))
}
