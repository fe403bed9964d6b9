//! The project's own test images, made, imported and looked into: programs run from their layers.
#![allow(clippy::unwrap_used)]

use base::Env;
use images::{Archive, ImageService, Images, ImagesOptions};
use std::path::Path;
use std::process::Command;

/// What a program prints when the image's only layer is its root.
fn run(layer: &Path, command: &[&str]) -> String {
    let output = Command::new("chroot").arg(layer).args(command).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn test_images_import_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::open(folder.path(), &Env::real(), ImagesOptions::default()).unwrap();
    for (family, name, command, expected) in [
        ("busybox", "busybox:1.28", &["/bin/sh", "-c", "ls /bin | grep wget"][..], "wget"),
        ("kutter-test", "kutter-test", &["/bin/testserver", "--help"], "usage: testserver"),
        ("nginx", "nginx:1.14.2", &["/docker-entrypoint.sh", "nginx", "-v"], "nginx version: nginx/"),
        ("nginx", "nginx", &["/bin/bash", "-c", "cat /usr/share/nginx/html/index.html"], "Welcome to nginx!"),
        ("tomcat", "tomcat", &["/bin/testserver", "exit", "0"], ""),
    ] {
        let archive = testkit::images::archive(family).unwrap();
        images.import(Archive::Path(archive)).await.unwrap();
        let image = images.present(name).await.unwrap().expect(name);
        assert_eq!(image.layers.len(), 1, "{name}");
        let text = run(&image.layers[0], command);
        assert!(text.contains(expected), "{name}: {text}");
    }
    // Versions are different images, so that a rolling update has something to do.
    let id = |name: &'static str| async { images.present(name).await.unwrap().unwrap().id };
    assert_ne!(id("nginx:1.14.2").await, id("nginx:1.16.1").await);
    assert_eq!(id("nginx:1.27").await, id("nginx").await);
    assert_eq!(images.present("nginx").await.unwrap().unwrap().config.stop_signal, "SIGQUIT");
}
