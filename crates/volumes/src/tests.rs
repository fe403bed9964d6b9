//! The volume types against a real file system and real mounts (as root).

use super::*;
use crate::sources::TokenRequest;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Mutex;

#[derive(Default)]
struct Fake {
    maps: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Sources for Fake {
    fn config_map<'a>(
        &'a self,
        _namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConfigMap>, VolumeError>> {
        let data = self.maps.lock().unwrap().get(name).cloned();
        Box::pin(async move { Ok(data.map(|data| ConfigMap { data: Some(data), ..ConfigMap::default() })) })
    }

    fn secret<'a>(&'a self, _namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, VolumeError>> {
        let data = self.maps.lock().unwrap().get(name).cloned();
        let bytes = |data: BTreeMap<String, String>| {
            data.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))).collect()
        };
        Box::pin(async move { Ok(data.map(|data| Secret { data: Some(bytes(data)), ..Secret::default() })) })
    }

    fn token<'a>(&'a self, request: &'a TokenRequest) -> BoxFuture<'a, Result<String, VolumeError>> {
        Box::pin(async move { Ok(format!("token of {}/{}", request.pod_name, request.audience)) })
    }

    fn trust_bundles<'a>(&'a self, wanted: &'a Bundles) -> BoxFuture<'a, Result<Vec<String>, VolumeError>> {
        let maps = self.maps.lock().unwrap();
        let found = match wanted {
            Bundles::Named(name) => maps.get(name).into_iter().flat_map(|data| data.values().cloned()).collect(),
            Bundles::OfSigner { signer, labels } => {
                let all = maps.values().filter(|data| data.get("signer") == Some(signer) && labels.matches(data));
                all.filter_map(|data| data.get("pem").cloned()).collect()
            }
        };
        Box::pin(async move { Ok(found) })
    }

    fn certificate<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Credentials, VolumeError>> {
        let (key, chain) = (format!("key {}\n", request.signer), format!("chain {}\n", request.source));
        Box::pin(async move { Ok(Credentials { key, chain }) })
    }
}

struct Place {
    directory: tempfile::TempDir,
    context: Context,
    fake: Arc<Fake>,
    layers: Vec<PathBuf>,
}

/// Mounts of a failed test must not stay either.
impl Drop for Place {
    fn drop(&mut self) {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = self.directory.path().canonicalize().unwrap();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        for point in points.filter(|point| point.starts_with(&root)).collect::<Vec<_>>().into_iter().rev() {
            let _ = rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

impl Place {
    fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let allocatable = BTreeMap::from([
            ("cpu".to_owned(), meta::Quantity::milli(2000)),
            ("memory".to_owned(), meta::Quantity::bytes(1 << 30)),
        ]);
        let context = Context {
            env: base::Env::real(),
            sources: fake.clone(),
            mounts: Arc::new(HostMounts),
            allocatable: Arc::new(fields::Allocatable(allocatable)),
        };
        Place { directory: tempfile::tempdir().unwrap(), context, fake, layers: Vec::new() }
    }

    fn map(&self, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.fake.maps.lock().unwrap().insert(name.to_owned(), data);
    }

    async fn set_up(&self, volume: serde_json::Value, fs_group: Option<u32>) -> Result<Mounted, VolumeError> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod = serde_json::from_value(pod()).unwrap();
        let kind = type_of(&volume).unwrap();
        let directory = directory(&self.directory.path().join("pod"), kind, &volume.name);
        let request = Request {
            pod: &pod,
            volume: &volume,
            directory,
            fs_group,
            only_on_mismatch: false,
            layers: &self.layers,
            context: &self.context,
        };
        kind.set_up(&request).await
    }

    async fn tear_down(&self) {
        tear_down(&self.context, &self.directory.path().join("pod")).await.unwrap();
        assert!(!self.directory.path().join("pod").exists());
    }
}

fn pod() -> serde_json::Value {
    json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u1",
            "labels": {"app": "web", "tier": "a\"b"}, "annotations": {"note": "two\nlines"},
        },
        "spec": {"containers": [
            {"name": "c", "resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "64Mi"}}},
        ]},
    })
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn an_empty_dir_belongs_to_the_group_and_keeps_its_files() {
    let place = Place::new();
    let volume = json!({"name": "v", "emptyDir": {}});
    let mounted = place.set_up(volume.clone(), Some(2000)).await.unwrap();
    let meta = std::fs::metadata(&mounted.path).unwrap();
    assert_eq!((meta.gid(), meta.mode() & 0o7777), (2000, 0o2777));
    std::fs::write(mounted.path.join("kept"), "x").unwrap();
    assert_eq!(place.set_up(volume, Some(2000)).await.unwrap(), mounted);
    assert!(mounted.path.join("kept").exists());
    place.tear_down().await;
}

#[tokio::test]
async fn memory_is_a_tmpfs_of_the_size_asked_for() {
    let place = Place::new();
    let volume = json!({"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}});
    let mounted = place.set_up(volume.clone(), None).await.unwrap();
    assert_eq!(place.context.mounts.below(&mounted.path).await.unwrap().len(), 1);
    assert!(std::fs::write(mounted.path.join("big"), vec![0; 2 << 20]).is_err());
    place.set_up(volume, None).await.unwrap();
    assert_eq!(place.context.mounts.below(&mounted.path).await.unwrap().len(), 1, "mounted once only");
    place.tear_down().await;
}

#[tokio::test]
async fn a_config_map_changes_as_a_whole() {
    let place = Place::new();
    let volume = json!({"name": "v", "configMap": {"name": "m", "defaultMode": 0o640}});
    let error = place.set_up(volume.clone(), None).await.unwrap_err();
    assert_eq!(error.to_string(), "configmap \"m\" not found");
    place.map("m", &[("a", "1"), ("b", "2")]);
    let root = place.set_up(volume.clone(), None).await.unwrap().path;
    assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "1");
    assert_eq!(mode(&root.join("a")), 0o640);
    let before = std::fs::read_link(root.join("..data")).unwrap();
    place.set_up(volume.clone(), None).await.unwrap();
    assert_eq!(std::fs::read_link(root.join("..data")).unwrap(), before, "unchanged content is left alone");
    place.map("m", &[("a", "3"), ("c", "4")]);
    place.set_up(volume, None).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "3");
    assert!(!root.join("b").exists() && root.join("c").exists() && !root.join(before).exists());
    place.tear_down().await;
}

#[tokio::test]
async fn items_pick_keys_and_paths_stay_inside() {
    let place = Place::new();
    place.map("m", &[("a", "1"), ("b", "2")]);
    let items = |items: serde_json::Value, optional: bool| json!({"name": "v", "secret": {"secretName": "m", "items": items, "optional": optional}});
    let picked = place.set_up(items(json!([{"key": "a", "path": "x/y", "mode": 0o400}]), false), None).await.unwrap();
    assert_eq!(std::fs::read_to_string(picked.path.join("x/y")).unwrap(), "1");
    assert_eq!(mode(&picked.path.join("x/y")), 0o400);
    assert!(!picked.path.join("b").exists());
    let error = place.set_up(items(json!([{"key": "z", "path": "z"}]), false), None).await.unwrap_err();
    assert_eq!(error.to_string(), "references non-existent secret key: z");
    place.set_up(items(json!([{"key": "z", "path": "z"}]), true), None).await.unwrap();
    let error = place.set_up(items(json!([{"key": "a", "path": "../../a"}]), false), None).await.unwrap_err();
    assert!(matches!(error, VolumeError::Path(_)), "{error}");
    place.tear_down().await;
}

#[tokio::test]
async fn projected_joins_tokens_maps_and_fields() {
    let place = Place::new();
    place.map("kube-root-ca.crt", &[("ca.crt", "PEM")]);
    let volume = json!({"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": "vault"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
            {"path": "cores", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
            {"path": "limit", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}},
            {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "requests.memory"}},
        ]}},
    ]}});
    let root = place.set_up(volume, Some(3000)).await.unwrap().path;
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    for (file, content) in [
        ("token", "token of web/vault"),
        ("ca.crt", "PEM"),
        ("namespace", "shop"),
        ("labels", "app=\"web\"\ntier=\"a\\\"b\""),
        ("note", "two\nlines"),
        ("cpu", "250"),
        ("cores", "1"),
        ("limit", "1024"),
        ("memory", "67108864"),
    ] {
        assert_eq!(read(file), content, "{file}");
    }
    assert_eq!(mode(&root.join("token")), 0o640, "the group reads the token, others do not");
    assert_eq!(place.context.mounts.below(&root).await.unwrap().len(), 1, "tokens stay in memory");
    place.tear_down().await;
}

#[tokio::test]
async fn host_paths_are_checked_and_made() {
    let place = Place::new();
    let root = place.directory.path().join("host");
    let volume = |path: &Path, kind: &str| json!({"name": "v", "hostPath": {"path": path, "type": kind}});
    for (path, kind, error) in [
        (root.join("none"), "Directory", Some("a directory")),
        (root.join("none"), "File", Some("a file")),
        (root.join("d"), "DirectoryOrCreate", None),
        (root.join("d"), "File", Some("a file")),
        (root.join("d/f"), "FileOrCreate", None),
        (root.join("d/f"), "Directory", Some("a directory")),
        (root.join("d/f"), "Socket", Some("a socket file")),
        (PathBuf::from("/dev/null"), "CharDevice", None),
        (PathBuf::from("/dev/null"), "BlockDevice", Some("a block device")),
    ] {
        let outcome = place.set_up(volume(&path, kind), None).await.map(|mounted| mounted.path);
        match error {
            None => assert_eq!(outcome.unwrap(), path),
            Some(expected) => {
                let text = format!("hostPath type check failed: {} is not {expected}", path.display());
                assert_eq!(outcome.unwrap_err().to_string(), text);
            }
        }
    }
}

#[tokio::test]
async fn a_subpath_never_leaves_its_volume() {
    let place = Place::new();
    let volume = place.directory.path().join("pod/volume");
    std::fs::create_dir_all(volume.join("inside")).unwrap();
    std::fs::write(volume.join("inside/file"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
    std::os::unix::fs::symlink("../..", volume.join("up")).unwrap();
    std::os::unix::fs::symlink("inside", volume.join("in")).unwrap();
    let target = place.directory.path().join("pod/volume-subpaths/v/c/0");
    for subpath in ["out/passwd", "up", "../x", "out"] {
        let outcome = subpath::prepare(&HostMounts, &volume, subpath, &target).await;
        assert!(matches!(outcome, Err(VolumeError::Escapes { .. })), "{subpath}: {outcome:?}");
    }
    subpath::prepare(&HostMounts, &volume, "in/file", &target).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "x");
    subpath::prepare(&HostMounts, &volume, "new/deep", &target).await.unwrap();
    assert!(volume.join("new/deep").is_dir() && target.is_dir());
    place.tear_down().await;
}

#[tokio::test]
async fn tear_down_never_reaches_through_a_mount() {
    let place = Place::new();
    let host = place.directory.path().join("host");
    std::fs::create_dir_all(&host).unwrap();
    std::fs::write(host.join("precious"), "x").unwrap();
    let target = place.directory.path().join("pod/volume-subpaths/v/c/0");
    subpath::prepare(&HostMounts, place.directory.path(), "host", &target).await.unwrap();
    assert!(target.join("precious").exists());
    place.tear_down().await;
    assert!(host.join("precious").exists());
}

#[tokio::test]
async fn trust_bundles_are_joined_without_doubles() {
    let place = Place::new();
    let [one, two] = [b"one", b"two"].map(|content| pem::encode("CERTIFICATE", content));
    place.map("x", &[("pem", &format!("{two}words\n{one}")), ("signer", "example.com/a"), ("live", "yes")]);
    place.map("y", &[("pem", &one), ("signer", "example.com/a"), ("live", "no")]);
    place.map("named", &[("pem", &two)]);
    let of = |more: serde_json::Value| {
        let mut bundle = json!({"path": "ca.pem"});
        bundle.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"name": "v", "projected": {"sources": [{"clusterTrustBundle": bundle}]}})
    };
    let none = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
    let missing = "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"z\" not found";
    for (source, expected) in [
        (json!({"name": "named"}), Ok(two.clone())),
        (json!({"name": "z"}), Err(missing)),
        (json!({"name": "z", "optional": true}), Ok(String::new())),
        (json!({"signerName": "example.com/a", "labelSelector": {}}), Ok(format!("{one}{two}"))),
        (json!({"signerName": "example.com/a", "labelSelector": {"matchLabels": {"live": "no"}}}), Ok(one.clone())),
        (json!({"signerName": "example.com/a"}), Err(none)),
        (json!({"signerName": "example.com/a", "optional": true}), Ok(String::new())),
        (json!({"signerName": "example.com/b", "labelSelector": {}}), Err(none)),
    ] {
        let shown = match place.set_up(of(source.clone()), None).await {
            Ok(mounted) => Ok(std::fs::read_to_string(mounted.path.join("ca.pem")).unwrap()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(shown, expected.map_err(str::to_owned), "{source}");
    }
    place.tear_down().await;
}

#[tokio::test]
async fn certificates_are_written_where_they_are_asked_for() {
    let place = Place::new();
    let volume = json!({"name": "v", "projected": {"sources": [
        {"podCertificate": {"signerName": "a/b", "keyType": "ED25519", "credentialBundlePath": "all.pem"}},
        {"podCertificate": {"signerName": "c/d", "keyType": "ED25519", "keyPath": "key", "certificateChainPath": "chain"}},
    ]}});
    let root = place.set_up(volume, Some(3000)).await.unwrap().path;
    for (file, content) in [("all.pem", "key a/b\nchain 0\n"), ("key", "key c/d\n"), ("chain", "chain 1\n")] {
        assert_eq!(std::fs::read_to_string(root.join(file)).unwrap(), content);
        assert_eq!(mode(&root.join(file)), 0o640, "the group reads {file}, others do not");
    }
    place.tear_down().await;
}

#[tokio::test]
async fn an_image_is_read_and_nothing_else() {
    let mut place = Place::new();
    for (layer, file) in [("upper", "new"), ("lower", "old")] {
        let layer = place.directory.path().join(layer);
        std::fs::create_dir(&layer).unwrap();
        std::fs::write(layer.join(file), file).unwrap();
        std::fs::write(layer.join("both"), file).unwrap();
        place.layers.push(layer);
    }
    let all = place.layers.clone();
    for (name, count) in [("one", 1), ("two", 2)] {
        place.layers = all[..count].to_vec();
        let volume = json!({"name": name, "image": {"reference": "r"}});
        let root = place.set_up(volume.clone(), None).await.unwrap().path;
        assert_eq!(std::fs::read_to_string(root.join("both")).unwrap(), "new");
        assert_eq!(root.join("old").exists(), count == 2);
        let error = std::fs::write(root.join("both"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        place.set_up(volume, None).await.unwrap();
        assert_eq!(place.context.mounts.below(&root).await.unwrap().len(), 1, "mounted once only");
    }
    place.tear_down().await;
    assert!(all[0].join("both").exists());
}
