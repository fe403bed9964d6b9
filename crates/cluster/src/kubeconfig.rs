//! Writing kubeconfig files: one cluster, one user, everything in the file itself.

use auth::pki::{self, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;

/// How the user of a kubeconfig proves who it is.
pub enum Credential<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
    TokenFile(&'a Path),
}

/// A kubeconfig as YAML, named as kubeadm names things.
pub fn text(server: &str, authority: &str, user: &str, credential: &Credential<'_>) -> String {
    let context = format!("{user}@kubernetes");
    let authority = STANDARD.encode(authority);
    let mut lines = vec![
        "apiVersion: v1".to_owned(),
        "kind: Config".to_owned(),
        "clusters:".to_owned(),
        "- cluster:".to_owned(),
        format!("    certificate-authority-data: {authority}"),
        format!("    server: {}", quoted(server)),
        "  name: kubernetes".to_owned(),
        "contexts:".to_owned(),
        "- context:".to_owned(),
        "    cluster: kubernetes".to_owned(),
        format!("    user: {}", quoted(user)),
        format!("  name: {}", quoted(&context)),
        format!("current-context: {}", quoted(&context)),
        "users:".to_owned(),
        format!("- name: {}", quoted(user)),
        "  user:".to_owned(),
    ];
    match credential {
        Credential::Certificate(identity) => {
            lines.push(format!("    client-certificate-data: {}", STANDARD.encode(&identity.certificate)));
            lines.push(format!("    client-key-data: {}", STANDARD.encode(&identity.key)));
        }
        Credential::Token(token) => lines.push(format!("    token: {}", quoted(token))),
        Credential::TokenFile(path) => lines.push(format!("    tokenFile: {}", quoted(&path.to_string_lossy()))),
    }
    lines.push(String::new());
    lines.join("\n")
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte))
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/')
        && !text.ends_with(':');
    if plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

/// Writes the file for its owner only, and only when it would change.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), pki::Error> {
    if pki::read(path).ok().flatten().as_deref() == Some(text) {
        return Ok(());
    }
    pki::write_replaceable(path, text.as_bytes())
}

/// The kubeconfig inside cluster-info: where the cluster is and whom it trusts, no user.
pub fn cluster_info(server: &str, authority: &str) -> Value {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"cluster": {"certificate-authority-data": STANDARD.encode(authority), "server": server}, "name": ""}],
        "contexts": null,
        "current-context": "",
        "preferences": {},
        "users": null,
    });
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": config.to_string()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_client_reads() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.kubeconfig");
        let identity = Identity { certificate: "CERT\n".to_owned(), key: "KEY\n".to_owned() };
        let text = text("https://[::1]:6443", "CA\n", "kubernetes-admin", &Credential::Certificate(&identity));
        write(&path, &text).unwrap();
        assert!(
            text.contains("    server: https://[::1]:6443") || text.contains("    server: \"https://[::1]:6443\""),
            "{text}"
        );
        assert!(text.contains("current-context: kubernetes-admin@kubernetes"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let read = client::Kubeconfig::load(std::slice::from_ref(&path), true).unwrap();
        assert_eq!(read.current_context, "kubernetes-admin@kubernetes");
    }
}
