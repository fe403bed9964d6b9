//! `kubectl cluster-info`: where the control plane and the cluster's own services are.

mod dump;

use crate::command::{Command, Done};
use crate::flags::Args;
use crate::output::line;
use crate::session::{Call, Session};
use serde_json::Value;

pub static COMMAND: Command = Command {
    name: "cluster-info",
    usage: "cluster-info [flags] [options]",
    short: "Display cluster information",
    long: "Display addresses of the control plane and services with label kubernetes.io/cluster-service=true.",
    examples: "# Print the address of the control plane and cluster services\nkubectl cluster-info",
    run: Some(run),
    children: &[&dump::COMMAND],
    ..Command::EMPTY
};

fn run(session: &Session, _args: Args) -> Done<'_> {
    Box::pin(async move {
        let server = session.https().await?.server().to_owned();
        let namespace = session.given_namespace().unwrap_or("kube-system");
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/services"))
            .query("labelSelector", "kubernetes.io/cluster-service=true");
        let services = session.json(call).await?;
        told("Kubernetes control plane", &server);
        for service in services["items"].as_array().into_iter().flatten() {
            let metadata = &service["metadata"];
            let name = metadata["name"].as_str().unwrap_or_default();
            let shown = metadata["labels"]["kubernetes.io/name"].as_str().unwrap_or(name);
            told(shown, &address(&server, service, name));
        }
        line("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.");
        Ok(())
    })
}

fn told(name: &str, address: &str) {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        line(&format!("\u{1b}[0;32m{name}\u{1b}[0m is running at \u{1b}[0;33m{address}\u{1b}[0m"));
    } else {
        line(&format!("{name} is running at {address}"));
    }
}

/// The service through the API server's proxy.
fn address(server: &str, service: &Value, name: &str) -> String {
    let port = &service["spec"]["ports"][0];
    let scheme = if port["name"] == "https" || port["port"] == 443 { "https:" } else { "" };
    let port_name = port["name"].as_str().filter(|name| !name.is_empty());
    let port = port_name.map_or_else(String::new, |name| format!(":{name}"));
    let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
    format!("{server}/api/v1/namespaces/{namespace}/services/{scheme}{name}{port}/proxy")
}
