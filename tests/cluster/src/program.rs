//! The kutter binary, built from this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Builds it once, unless the variable `KUTTER_BINARY` names one to test instead, as in `make test`.
pub fn kutter() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os("KUTTER_BINARY") {
        Some(given) => given.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "kutter"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // The test itself lies in `<target>/<profile>/deps`; the binary belongs beside that folder.
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    if profile.ends_with("release") {
        command.arg("--release");
    }
    command.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(command.status().unwrap().success(), "kutter does not build");
    profile.join("kutter")
}
