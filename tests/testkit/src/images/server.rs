//! `kutter-test`: the project's own test server beside busybox; and `tomcat`, the same server where
//! people expect Tomcat.

use super::docker_archive::Image;
use super::files::Files;
use super::{Family, Made, busybox, debian, default_folder, root, sources_below};
use anyhow::Result;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const KUTTER_TEST: Family = Family { name: "kutter-test", tags: &["latest"], sources, make: make_test };

pub const TOMCAT: Family = Family { name: "tomcat", tags: &["latest"], sources, make: make_tomcat };

fn sources() -> Vec<PathBuf> {
    let mut sources = busybox::sources();
    sources.extend(sources_below("tests/testserver/src"));
    sources
}

fn make_test(_work: &Path) -> Result<Made<'static>> {
    let files = with_server()?;
    let run = json!({
        "Entrypoint": ["/bin/testserver"],
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
        "ExposedPorts": {"8080/tcp": {}},
    });
    Ok(Made { files, images: vec![Image { tags: KUTTER_TEST.tags, run }] })
}

fn make_tomcat(_work: &Path) -> Result<Made<'static>> {
    let mut files = with_server()?;
    let start = "#!/bin/sh\nexec /bin/testserver serve --http 8080 --greeting 'Apache Tomcat stand-in'\n";
    files.script("usr/local/tomcat/bin/catalina.sh", start);
    let run = json!({
        "Cmd": ["catalina.sh", "run"],
        "Env": ["PATH=/usr/local/tomcat/bin:/usr/local/bin:/usr/bin:/bin", "CATALINA_HOME=/usr/local/tomcat"],
        "ExposedPorts": {"8080/tcp": {}},
        "WorkingDir": "/usr/local/tomcat",
    });
    Ok(Made { files, images: vec![Image { tags: TOMCAT.tags, run }] })
}

fn with_server() -> Result<Files> {
    let mut files = Files::base();
    busybox::add(&mut files, &[])?;
    files.copy("bin/testserver", &build()?)?;
    Ok(files)
}

/// Builds the server statically, in a folder of its own: other flags would make cargo build
/// everything else again, and a build going on elsewhere would keep this one waiting.
fn build() -> Result<PathBuf> {
    // Naming the target keeps the flags from what runs during the build.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = default_folder().join("build");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--package", "testserver", "--target", &target, "--target-dir"]);
    build.arg(&folder).current_dir(root());
    build.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Cstrip=symbols");
    debian::run(&mut build)?;
    Ok(folder.join(target).join("debug/testserver"))
}
