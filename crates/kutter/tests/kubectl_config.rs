//! `kubectl config` against what upstream's 1.33 said to the same lines and made of its file, in
//! `kubectl_config.txt`: `$` begins a line, `$ cat` shows the file, and DIR stands for the folder.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

fn told(folder: &Path, line: &str) -> String {
    let config = folder.join("config");
    if line == "cat" {
        let text = std::fs::read_to_string(config).unwrap();
        return text.lines().map(|line| format!("  {line}\n")).collect();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kutter"));
    command.args(["kubectl", "config"]).args(line.split(' ')).current_dir(folder);
    let output = command.env("KUBECONFIG", config).env("HOME", folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let mut told = String::from_utf8(said).unwrap().replace(folder.to_str().unwrap(), "DIR");
    if !output.status.success() {
        writeln!(told, "exit code {}", output.status.code().unwrap()).unwrap();
    }
    told
}

#[test]
fn files_are_changed_as_upstream_changes_them() {
    let home = tempfile::tempdir().unwrap();
    // The system may name the folder by a link.
    let folder = home.path().canonicalize().unwrap();
    std::fs::write(folder.join("ca.crt"), "data\n").unwrap();
    std::fs::write(folder.join("k.key"), "key\n").unwrap();
    for step in include_str!("kubectl_config.txt").split("$ ").skip(1) {
        let (line, expected) = step.split_once('\n').unwrap();
        assert_eq!(told(&folder, line), expected, "$ {line}");
    }
}
