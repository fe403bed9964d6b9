//! A layer, in an archive whose digests are right: the entries are unpacked, and nothing leads out.
#![no_main]

use base::Env;
use images::{Archive, Images, ImagesOptions};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sha2::{Digest, Sha256};

fuzz_target!(|data: &[u8]| {
    let folder = fuzz::folder();
    // What a layer that leads out would hit first.
    let beside = folder.path().join("beside");
    std::fs::write(&beside, "untouched").expect("a file");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let images = Images::open(&folder.path().join("images"), &Env::real(), ImagesOptions::default());
        let archive = Archive::Stream(Box::new(std::io::Cursor::new(archive(data))));
        let _ = images.expect("a store").import(archive).await;
    });
    assert_eq!(std::fs::read(&beside).expect("it is there"), b"untouched");
    let names = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 2, "something was unpacked beside the store");
});

/// What `docker save` would have written of an image with this one layer.
fn archive(layer: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(layer).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]}});
    let manifest = json!([{"Config": "config.json", "RepoTags": ["a:b"], "Layers": ["layer.tar"]}]);
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("manifest.json", manifest.to_string().as_bytes()),
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", layer),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        out.append_data(&mut header, name, bytes).expect("a tar in memory");
    }
    out.into_inner().expect("a tar in memory")
}
