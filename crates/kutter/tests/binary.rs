//! The binary as a shell sees it: its names, exit codes and streams, where no cluster is needed.
//! The whole of it is tried in `tests/cluster`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const KUTTER: &str = env!("CARGO_BIN_EXE_kutter");

/// Runs `line` with `input`; `DIR` in the line stands for an empty folder.
fn run(program: &Path, line: &str, input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let args = line.split_whitespace().map(|arg| arg.replace("DIR", folder.path().to_str().unwrap()));
    let mut command = Command::new(program);
    command.args(args).env("HOME", folder.path()).env_remove("KUBECONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn answers_and_exit_codes() {
    const INGRESS: &str = r#"{"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "old"},
        "spec": {"backend": {"serviceName": "web", "servicePort": 80}}}"#;
    // The line, what comes in, the exit code, and what stdout and stderr must have.
    let cases = [
        ("--version", "", 0, concat!("kutter ", env!("CARGO_PKG_VERSION")), ""),
        ("help", "", 0, "Usage: kutter <COMMAND>", ""),
        ("nonsense", "", 2, "", "unrecognized subcommand 'nonsense'"),
        ("up --listen nowhere", "", 1, "", r#"kutter: --listen: "nowhere" is no ADDR:PORT"#),
        ("status --data-dir DIR/none", "", 3, "not started: ", ""),
        ("down --data-dir DIR/none", "", 0, "nothing was ever started in ", ""),
        ("convert -f - -o json", INGRESS, 0, r#""apiVersion":"networking.k8s.io/v1""#, ""),
        ("convert -f - -o json", "{", 1, "", "kutter: "),
        ("convert -f DIR/none -o json", "", 1, "", "kutter: "),
        ("kubectl version --client", "", 0, "Client Version: ", ""),
        ("kubectl nonsense", "", 1, "", r#"unknown command "nonsense" for "kubectl""#),
    ];
    for (line, input, code, out, err) in cases {
        let output = run(Path::new(KUTTER), line, input);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line}: {stdout}{stderr}");
        assert!(stdout.contains(out) && stderr.contains(err), "{line}: {stdout}{stderr}");
        assert!(!err.is_empty() || stderr.is_empty(), "{line}: {stderr}");
    }
}

#[test]
fn called_as_kubectl_it_is_kubectl() {
    let folder = tempfile::tempdir().unwrap();
    let kubectl = folder.path().join("kubectl");
    std::os::unix::fs::symlink(KUTTER, &kubectl).unwrap();
    let output = run(&kubectl, "version --client", "");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Client Version: "), "{output:?}");
}
