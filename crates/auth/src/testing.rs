//! For tests: an HTTPS server on loopback that answers as it is told, and a kubeconfig that leads to
//! it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_rustls::TlsAcceptor;

/// Answers a path and a JSON body.
pub type Answer = Arc<dyn Fn(&str, &Value) -> Value + Send + Sync>;

pub struct Hook {
    pub url: String,
    /// The authority that vouches for it, in PEM.
    pub authority: String,
    pub calls: Arc<AtomicUsize>,
}

impl Hook {
    /// Serves `answer` for as long as the test's process lives.
    pub fn serve(answer: impl FnOnce(&str) -> Answer) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let authority = made.cert.pem();
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let (answer, counted) = (answer(&url), calls.clone());
        base::tasks::thread("hook", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let tasks = base::Tasks::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, answer, counted) = (acceptor.clone(), answer.clone(), counted.clone());
                    tasks.spawn("hook connection", async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let service = service_fn(|request| reply(request, answer.clone(), counted.clone()));
                        // How it ends is the client's affair.
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        })
        .unwrap();
        Hook { url, authority, calls }
    }

    pub fn count(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn kubeconfig(&self, dir: &Path) -> PathBuf {
        let path = dir.join("webhook.kubeconfig");
        std::fs::write(dir.join("ca.pem"), &self.authority).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: hook\n  cluster: {{server: '{}/review', \
             certificate-authority: ca.pem}}\nusers:\n- name: me\n  user: {{token: t}}\ncontexts:\n- name: hook\n  \
             context: {{cluster: hook, user: me}}\ncurrent-context: hook\n",
            self.url
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn reply(
    request: http::Request<Incoming>,
    answer: Answer,
    calls: Arc<AtomicUsize>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    calls.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let value = answer(&path, &body);
    let code = if value.is_null() { 500 } else { 200 };
    Ok(http::Response::builder().status(code).body(Full::new(value.to_string().into())).unwrap())
}
