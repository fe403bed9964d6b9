//! Images that serve: web servers, the pictures of the update demo, an aggregated API and its etcd.

use super::{Contents, programs};
use crate::upstream::Upstream;
use anyhow::Result;
use serde_json::json;
use std::path::Path;
use testkit::images::files::Files;
use testkit::images::{busybox, debian, nginx as own_nginx};

/// Where Apache's own image has its pages; busybox serves them here.
const HTDOCS: &str = "usr/local/apache2/htdocs";

pub fn httpd(_: &Upstream, _: &Path) -> Result<Contents> {
    let mut files = Files::base();
    busybox::add(&mut files, &[])?;
    files.text(&format!("{HTDOCS}/index.html"), "<html><body><h1>It works!</h1></body></html>\n");
    let start = format!("#!/bin/sh\nexec /bin/busybox httpd -f -vv -p 80 -h /{HTDOCS}\n");
    files.script("usr/local/bin/httpd-foreground", &start);
    let run = json!({
        "Cmd": ["httpd-foreground"],
        "Env": ["PATH=/usr/local/apache2/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "ExposedPorts": {"80/tcp": {}},
        "WorkingDir": "/usr/local/apache2",
    });
    Ok((files, run))
}

pub fn nginx(_: &Upstream, work: &Path) -> Result<Contents> {
    Ok((own_nginx::files(work)?, own_nginx::run("1.22")))
}

pub fn nautilus(upstream: &Upstream, _: &Path) -> Result<Contents> {
    picture(upstream, "nautilus", "nautilus.jpg")
}

pub fn kitten(upstream: &Upstream, _: &Path) -> Result<Contents> {
    picture(upstream, "kitten", "kitten.jpg")
}

fn picture(upstream: &Upstream, name: &str, picture: &str) -> Result<Contents> {
    let mut files = programs::agnhost_files(upstream)?;
    let folder = upstream.source.join("test/images").join(name).join("html");
    for file in [picture, "data.json"] {
        files.copy(file, &folder.join(file))?;
    }
    Ok((files, json!({"Entrypoint": ["/agnhost"], "Cmd": ["test-webserver"], "WorkingDir": "/"})))
}

pub fn sample_apiserver(upstream: &Upstream, _: &Path) -> Result<Contents> {
    let mut files = Files::base();
    files.copy("sample-apiserver", &upstream.program("sample-apiserver"))?;
    // Specs grant it what the version they name needs, which had no use for flow control yet.
    Ok((files, json!({"Entrypoint": ["/sample-apiserver", "--feature-gates=APIPriorityAndFairness=false"]})))
}

pub fn etcd(_: &Upstream, work: &Path) -> Result<Contents> {
    let mut files = Files::base();
    busybox::add(&mut files, &[])?;
    let package = debian::packages(&["etcd-server"], work)?;
    debian::program(&mut files, "usr/local/bin/etcd", &package.join("usr/bin/etcd"))?;
    Ok((files, json!({"Cmd": ["etcd"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]})))
}
