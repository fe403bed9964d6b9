//! `kubectl create secret generic|tls|docker-registry`.

use super::config_map::{APPEND_HASH, SOURCES, append_hash, data, encoded};
use super::generate::{FLAGS, finish, metadata, name, require};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, list, text};
use crate::session::{Session, io_text};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub static COMMAND: Command = Command {
    name: "secret",
    usage: "create secret (docker-registry | generic | tls) [options]",
    short: "Create a secret using a specified subcommand",
    children: &[&DOCKER_REGISTRY, &GENERIC, &TLS],
    ..Command::EMPTY
};

static GENERIC: Command = Command {
    name: "generic",
    usage: "create secret generic NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none] [options]",
    short: "Create a secret from a local file, directory, or literal value",
    examples: "# Create a new secret named my-secret with key1=supersecret and key2=topsecret\nkubectl create secret generic my-secret --from-literal=key1=supersecret --from-literal=key2=topsecret",
    flags: &[PRINT, FLAGS, SOURCES, &[text("type", "", "The type of secret to create")]],
    run: Some(generic),
    ..Command::EMPTY
};

static TLS: Command = Command {
    name: "tls",
    usage: "create secret tls NAME --cert=path/to/cert/file --key=path/to/key/file [--dry-run=server|client|none] [options]",
    short: "Create a TLS secret",
    flags: &[
        PRINT,
        FLAGS,
        &[
            text("cert", "", "Path to PEM encoded public key certificate."),
            text("key", "", "Path to private key associated with given certificate."),
            APPEND_HASH,
        ],
    ],
    run: Some(tls),
    ..Command::EMPTY
};

const REGISTRY: &[Flag] = &[
    text("docker-username", "", "Username for Docker registry authentication"),
    text("docker-password", "", "Password for Docker registry authentication"),
    text("docker-email", "", "Email for Docker registry"),
    text("docker-server", "https://index.docker.io/v1/", "Server location for Docker registry"),
    list("from-file", "Key files can be specified using their file path."),
    APPEND_HASH,
];

static DOCKER_REGISTRY: Command = Command {
    name: "docker-registry",
    usage: "create secret docker-registry NAME --docker-username=user --docker-password=password --docker-email=email [options]",
    short: "Create a secret for use with a Docker registry",
    flags: &[PRINT, FLAGS, REGISTRY],
    run: Some(docker_registry),
    ..Command::EMPTY
};

fn secret(name: &str, kind: &str, data: BTreeMap<String, Vec<u8>>) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(name, &[])});
    if !data.is_empty() {
        object["data"] = encoded(data);
    }
    if !kind.is_empty() {
        object["type"] = json!(kind);
    }
    object
}

fn generic(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let mut object = secret(name(session, &args)?, args.text("type"), data(&args)?);
        append_hash(&args, &mut object);
        finish(session, &args, object, "failed to create secret").await
    })
}

fn tls(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        if args.text("cert").is_empty() || args.text("key").is_empty() {
            return Err(Failure::message("key and cert must be specified"));
        }
        let mut data = BTreeMap::new();
        for (key, flag) in [("tls.crt", "cert"), ("tls.key", "key")] {
            data.insert(key.to_owned(), file(args.text(flag))?);
        }
        let mut object = secret(name, "kubernetes.io/tls", data);
        append_hash(&args, &mut object);
        finish(session, &args, object, "failed to create secret").await
    })
}

fn file(path: &str) -> Outcome<Vec<u8>> {
    std::fs::read(path)
        .map_err(|why| Failure::message(format!("Cannot read file {path}, open {path}: {}", io_text(&why))))
}

fn docker_registry(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let mut files = BTreeMap::new();
        if let Some(path) = args.list("from-file").first() {
            let path = path.strip_prefix(".dockerconfigjson=").unwrap_or(path);
            files.insert(".dockerconfigjson".to_owned(), file(path)?);
        } else {
            require(&args, &["docker-username", "docker-password"])?;
            files.insert(".dockerconfigjson".to_owned(), registry_login(&args).into_bytes());
        }
        let mut object = secret(name, "kubernetes.io/dockerconfigjson", files);
        append_hash(&args, &mut object);
        finish(session, &args, object, "failed to create secret").await
    })
}

/// Docker's configuration with one login, its fields in Docker's order.
fn registry_login(args: &Args) -> String {
    let (user, password) = (args.text("docker-username"), args.text("docker-password"));
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let quoted = |text: &str| json!(text).to_string();
    let mut fields = vec![format!("\"username\":{}", quoted(user)), format!("\"password\":{}", quoted(password))];
    if !args.text("docker-email").is_empty() {
        fields.push(format!("\"email\":{}", quoted(args.text("docker-email"))));
    }
    fields.push(format!("\"auth\":{}", quoted(&auth)));
    format!("{{\"auths\":{{{}:{{{}}}}}}}", quoted(args.text("docker-server")), fields.join(","))
}
