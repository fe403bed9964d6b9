//! A server behind TLS with a certificate of its own, and clients that believe it by that. Where the
//! server comes from is `started`'s business.

use apiserver::http::{Drain, Front, Measure};
use apiserver::{Identity, Server};
use auth::authn::TokenFile;
use base::Env;
use client::{Https, HttpsOptions, Roots};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where a server listens, and its certificate in PEM.
pub struct Place {
    pub url: String,
    pub pem: String,
}

impl Place {
    pub fn client(&self, env: &Env, token: &str) -> Https {
        let roots = Roots::Pem(self.pem.clone().into_bytes());
        Https::new(HttpsOptions::new(self.url.as_str(), roots).token(token.to_owned()), env).unwrap()
    }
}

/// Knows who comes with the token `secret`, who may do everything, and the others in `rows`.
pub fn known(rows: &str) -> Identity {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), format!("secret,admin,1,system:masters\n{rows}")).unwrap();
    Identity { token_file: Some(TokenFile::load(tokens.path()).unwrap()), ..Identity::default() }
}

/// No streams, no aggregation, no audit.
pub fn front(env: &Env, server: Arc<Server>) -> Front {
    Front {
        server,
        connector: None,
        aggregator: None,
        advertise: String::new(),
        audit: None,
        measure: Measure::new(&env.metrics),
        configuration: Value::Null,
        drain: Drain::default(),
    }
}

pub async fn listen(env: &Env, front: Front) -> Place {
    let (acceptor, pem) = certified(&[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    env.tasks.spawn("listener", apiserver::http::serve(env.clone(), listener, acceptor, Arc::new(front)));
    Place { url, pem }
}

/// A server side of TLS for `localhost` that speaks these protocols, and its certificate.
pub fn certified(protocols: &[&[u8]]) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}
