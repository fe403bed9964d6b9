//! `nginx`: Debian's, laid out and configured like docker's image: in the foreground, logs on
//! standard output and error, bash for those who look inside.

use super::docker_archive::Image;
use super::files::Files;
use super::{Family, Made, busybox, debian};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;

pub const FAMILY: Family =
    Family { name: "nginx", tags: &["latest", "1.27", "1.14.2", "1.16.1"], sources: busybox::sources, make };

/// Commands that bash or nothing at all stands for.
const NOT_BUSYBOX: &[&str] = &["ash", "dpkg", "dpkg-deb", "init", "linuxrc", "rpm"];

fn make(work: &Path) -> Result<Made<'static>> {
    let images = vec![
        Image { tags: &["latest", "1.27"], run: run("1.27.5") },
        Image { tags: &["1.14.2"], run: run("1.14.2") },
        Image { tags: &["1.16.1"], run: run("1.16.1") },
    ];
    Ok(Made { files: files(work)?, images })
}

/// The file system; packages are laid out below `work`.
pub fn files(work: &Path) -> Result<Files> {
    let mut files = Files::base();
    busybox::add(&mut files, NOT_BUSYBOX)?;
    debian::program(&mut files, "bin/bash", Path::new("/bin/bash"))?;
    let package = debian::packages(&["nginx", "nginx-common"], work)?;
    debian::program(&mut files, "usr/sbin/nginx", &package.join("usr/sbin/nginx"))?;
    files.copy("etc/nginx/mime.types", &package.join("etc/nginx/mime.types"))?;
    files.text("etc/nginx/nginx.conf", CONFIGURATION).text("etc/nginx/conf.d/default.conf", SITE);
    files.text("usr/share/nginx/html/index.html", INDEX).text("usr/share/nginx/html/50x.html", ERROR);
    files.link("var/log/nginx/access.log", "/dev/stdout").link("var/log/nginx/error.log", "/dev/stderr");
    files.folder("var/cache/nginx", 0o755).folder("var/lib/nginx", 0o755).link("var/run", "/run");
    files.append("etc/passwd", "nginx:x:101:101:nginx user:/nonexistent:/bin/false\n");
    files.append("etc/group", "nginx:x:101:\n");
    files.script("docker-entrypoint.sh", "#!/bin/sh\nexec \"$@\"\n");
    Ok(files)
}

/// The version makes the images different ones; the program is the same.
pub fn run(version: &str) -> Value {
    json!({
        "Entrypoint": ["/docker-entrypoint.sh"],
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", format!("NGINX_VERSION={version}")],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    })
}

const CONFIGURATION: &str = "\
user nginx;
worker_processes 1;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;

events {
    worker_connections 1024;
}

http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log combined;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
";

const SITE: &str = "\
server {
    listen 80;
    server_name localhost;

    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }

    error_page 500 502 503 504 /50x.html;
    location = /50x.html {
        root /usr/share/nginx/html;
    }
}
";

const INDEX: &str = "\
<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the web server is running.</p>
</body>
</html>
";

const ERROR: &str = "\
<!DOCTYPE html>
<html>
<head><title>Error</title></head>
<body>
<h1>An error occurred.</h1>
</body>
</html>
";
