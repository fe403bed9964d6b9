//! Debian's docker-registry on loopback, with TLS and passwords.
#![allow(clippy::unwrap_used)]

use super::{Bench, Parts};
use crate::ImagesOptions;
use crate::registry::http::{Http, Request};
use crate::service::{ImageError, ImageService, RegistryAuth};
use base::Env;
use base64::Engine as _;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::{Method, Response};
use hyper::body::Incoming;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `user` with the password `secret`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

struct Registry {
    child: Child,
    address: String,
    scheme: &'static str,
    authority: PathBuf,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start(folder: &Path, tls: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let file = |name: &str| folder.join(name).display().to_string();
        std::fs::write(file("passwords"), PASSWORDS).unwrap();
        let authority = certificates(folder);
        let secure = format!("  tls:\n    certificate: {}\n    key: {}\n", file("server.pem"), file("server.key"));
        let configuration = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nauth:\n  htpasswd:\n    \
             realm: test\n    path: {}\nhttp:\n  addr: {address}\n{}",
            file("data"),
            file("passwords"),
            if tls { &secure } else { "" }
        );
        std::fs::write(file("config.yml"), configuration).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(file("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the package docker-registry is needed");
        Registry { child, address, scheme: if tls { "https" } else { "http" }, authority }
    }

    fn options(&self) -> ImagesOptions {
        ImagesOptions { extra_authorities: vec![self.authority.clone()], ..Default::default() }
    }

    /// Puts the image in place as `a/b:1`, as a client would.
    async fn push(&self, env: &Env, parts: &Parts) {
        let http = Http::new(env, vec![self.authority.clone()]);
        let base = format!("{}://{}", self.scheme, self.address);
        for _ in 0..100 {
            if self.send(&http, Method::GET, &format!("{base}/v2/"), "", b"").await.is_some() {
                break;
            }
            env.clock.sleep(Duration::from_millis(50)).await;
        }
        for (path, (media_type, bytes)) in &parts.files {
            if let Some(digest) = path.strip_prefix("blobs/") {
                let start =
                    self.send(&http, Method::POST, &format!("{base}/v2/a/b/blobs/uploads/"), "", b"").await.unwrap();
                let place = start.headers()[LOCATION].to_str().unwrap().to_owned();
                let done = self.send(&http, Method::PUT, &format!("{place}&digest={digest}"), media_type, bytes).await;
                assert_eq!(done.unwrap().status(), 201);
            }
        }
        let (media_type, manifest) = &parts.files["manifests/1"];
        let done = self.send(&http, Method::PUT, &format!("{base}/v2/a/b/manifests/1"), media_type, manifest).await;
        assert_eq!(done.unwrap().status(), 201);
    }

    async fn send(
        &self,
        http: &Http,
        method: Method,
        url: &str,
        kind: &str,
        body: &[u8],
    ) -> Option<Response<Incoming>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("user:secret"));
        let authorization = Some(HeaderValue::from_str(&basic).unwrap());
        let url = url.parse().unwrap();
        http.send(Request { method, url, headers, authorization, body: body.to_vec().into() }).await.ok()
    }
}

fn certificates(folder: &Path) -> PathBuf {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).unwrap();
    let path = folder.join("authority.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&server_key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), server_key.serialize_pem()).unwrap();
    path
}

#[tokio::test]
async fn debians_registry_with_and_without_tls() {
    let env = Env::real();
    let user = RegistryAuth { username: "user".into(), password: "secret".into(), ..Default::default() };
    let wrong = RegistryAuth { password: "wrong".into(), ..user.clone() };
    for tls in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(folder.path(), tls);
        let parts = Parts::new();
        registry.push(&env, &parts).await;
        let bench = Bench::new(registry.options());
        let name = format!("{}/a/b:1", registry.address);
        for auths in [vec![], vec![wrong.clone()]] {
            let error = bench.images.pull(&name, &auths).await.unwrap_err();
            assert!(matches!(error, ImageError::Unauthorized { .. }), "{error}");
        }
        let image = bench.images.pull(&name, &[wrong.clone(), user.clone()]).await.unwrap();
        assert_eq!(image.id, parts.config.to_string());
        assert_eq!(image.repo_digests, [format!("{}/a/b@{}", registry.address, parts.digest)]);
        assert_eq!(std::fs::read(image.layers[1].join("low")).unwrap(), b"1");
        let missing = bench.images.pull(&format!("{}/a/c", registry.address), std::slice::from_ref(&user)).await;
        assert!(matches!(missing, Err(ImageError::NotFound { .. })), "{missing:?}");
        // Whoever signed it is unknown here.
        if tls {
            let error =
                Bench::new(ImagesOptions::default()).images.pull(&name, std::slice::from_ref(&user)).await.unwrap_err();
            assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
        }
    }
}
