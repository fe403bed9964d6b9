//! A node's way into a cluster, over HTTPS alone: learn whom to trust, get a certificate for the
//! kubelet and one for its port, get tokens for the service proxy and DNS; and renew all of them for as
//! long as the node lives.
//!
//! What was once received lies in the agent's directory: the join token is needed only once.

mod certificate;
mod discovery;
mod token;

pub use token::NodeToken;

use crate::objects::{DNS_ACCOUNT, PROXY_ACCOUNT};
use crate::pki::{join as as_file, make_directory, split};
use crate::tls::{self, Served};
use crate::token::JoinToken;
use auth::pki::{self, Authority, Identity, Profile};
use base::{Env, Timestamp};
use certificate::Wanted;
use client::{ClientCertificate, Https, HttpsOptions, Roots};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often certificates and tokens are looked at.
const LOOK: Duration = Duration::from_secs(3600);
/// How soon something that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// How long a certificate is waited for. Without the client's the kubelet can do nothing; the other is
/// approved once the Node exists, which it cannot before the kubelet runs.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Directory(#[from] crate::pki::Error),
    #[error(transparent)]
    Pki(#[from] pki::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Options(#[from] client::https::OptionsError),
    #[error("this node has not joined a cluster yet: give it a token, as printed by `kutter token create`")]
    NoToken,
    #[error("cannot learn the cluster's certificate authority from {server}: {source}")]
    Discovery { server: String, source: client::Error },
    #[error("{0} is not the cluster the token was made for: none of its certificate authorities has the hash {1}")]
    Impostor(String, String),
    #[error("cannot {what}: {source}")]
    Call { what: &'static str, source: client::Error },
    #[error("the certificate request {name} was denied: {message}")]
    Denied { name: String, message: String },
    #[error("the certificate request {name} failed: {message}")]
    Failed { name: String, message: String },
    #[error(
        "nobody approved the certificate request {name} in {seconds} s: run `kubectl certificate approve {name}` or look \
         at the server's log"
    )]
    NotApproved { name: String, seconds: u64 },
    #[error("the server's answer makes no sense: {0}")]
    Answer(String),
}

/// What an agent is told.
#[derive(Clone)]
pub struct JoinOptions {
    /// `https://host:port`
    pub server: String,
    /// Needed the first time only.
    pub token: Option<JoinToken>,
    pub node_name: String,
    /// Where the kubelet is reached.
    pub node_addresses: Vec<IpAddr>,
    /// For what the agent proves its identity with.
    pub dir: PathBuf,
}

/// Everything an agent proves its identity with. Clones share it: what is renewed is renewed for all.
#[derive(Clone)]
pub struct Joined {
    /// PEM of the authority to trust.
    pub ca: String,
    /// The kubelet's, for [`HttpsOptions::certificate`].
    pub kubelet: Arc<ClientCertificate>,
    /// What the kubelet shows on its own port, for [`tls::server_config`].
    pub serving: Arc<Served>,
    /// The service proxy's, for [`HttpsOptions::token`].
    pub proxy: NodeToken,
    /// DNS' own.
    pub dns: NodeToken,
}

/// Joins, or takes up what an earlier join received.
///
/// # Errors
/// Why the node cannot be part of the cluster.
pub async fn join(env: &Env, options: &JoinOptions) -> Result<Joined, Error> {
    make_directory(&options.dir)?;
    let now = env.clock.now();
    let kept = pki::read(&options.dir.join("kubelet.pem"))?.and_then(|text| split(&text));
    let kept = kept.filter(|identity| is_valid(identity, now));
    let ca = match pki::read(&options.dir.join("ca.crt"))? {
        Some(ca) if kept.is_some() => ca,
        _ => discover(env, options).await?,
    };
    let tokens = [PROXY_ACCOUNT, DNS_ACCOUNT].map(|account| NodeToken::load(&options.dir, account));
    let fresh = kept.is_none();
    let identity = match kept {
        Some(identity) => identity,
        None => {
            let bearer = options.token.as_ref().ok_or(Error::NoToken)?.bearer.clone();
            let api = Https::new(https(options, &ca).token(bearer), env)?;
            for token in &tokens {
                token.request(&api, now).await?;
            }
            info!(server = options.server, node = options.node_name, "asking to join");
            let wanted = client_certificate(options);
            certificate::get(env, &api, &options.dir, &wanted, PATIENCE).await?
        }
    };
    let kubelet = Arc::new(ClientCertificate::new(identity.certificate.as_bytes(), identity.key.as_bytes())?);
    if fresh {
        // Last, so that a crash before it joins again from the start.
        pki::write_private(&options.dir.join("ca.crt"), ca.as_bytes())?;
        pki::write_private(&options.dir.join("kubelet.pem"), as_file(&identity).as_bytes())?;
    }
    let api = Https::new(https(options, &ca).certificate(kubelet.clone()), env)?;
    let serving = Served::new(&serving_identity(env, options, &api).await?)?;
    let [proxy, dns] = tokens;
    Ok(Joined { ca, kubelet, serving, proxy, dns })
}

/// Gets the serving certificate, then renews certificates and tokens in time, for ever. To be run as
/// soon as the kubelet is.
pub async fn keep_fresh(env: Env, options: JoinOptions, joined: Joined) {
    loop {
        let wait = match renew(&env, &options, &joined).await {
            Ok(true) => LOOK,
            Ok(false) => RETRY,
            Err(error) => {
                warn!(%error, "cannot renew the node's identity; trying again");
                RETRY
            }
        };
        // Nodes that joined together should not ask together.
        env.clock.sleep(wait.mul_f64(1.0 + 0.2 * env.rng.f64())).await;
    }
}

/// One look at everything. False: something still waits for its approval.
async fn renew(env: &Env, options: &JoinOptions, joined: &Joined) -> Result<bool, Error> {
    let now = env.clock.now();
    let api = Https::new(https(options, &joined.ca).certificate(joined.kubelet.clone()), env)?;
    let path = options.dir.join("kubelet.pem");
    let kept = pki::read(&path)?.unwrap_or_default();
    if pki::needs_renewal(&kept, now) {
        let identity = certificate::get(env, &api, &options.dir, &client_certificate(options), PATIENCE).await?;
        pki::write_private(&path, as_file(&identity).as_bytes())?;
        joined.kubelet.replace(identity.certificate.as_bytes(), identity.key.as_bytes())?;
        info!("renewed the kubelet's client certificate");
    }
    for token in [&joined.proxy, &joined.dns] {
        if token.needs_renewal(now) {
            let own = Https::new(https(options, &joined.ca).token(token.clone()), env)?;
            token.request(&own, now).await?;
        }
    }
    if !serving_is_needed(options, now)? {
        return Ok(true);
    }
    match certificate::get(env, &api, &options.dir, &serving_certificate(options), PATIENCE).await {
        Ok(identity) => {
            pki::write_private(&options.dir.join("kubelet-serving.pem"), as_file(&identity).as_bytes())?;
            joined.serving.replace(&identity)?;
            info!("renewed the kubelet's serving certificate");
            Ok(true)
        }
        Err(Error::NotApproved { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the port shows at first: the certificate of an earlier start or, until the cluster has approved
/// one, a certificate of nobody, with which the node works but for logs and exec.
async fn serving_identity(env: &Env, options: &JoinOptions, api: &Https) -> Result<Identity, Error> {
    let path = options.dir.join("kubelet-serving.pem");
    let now = env.clock.now();
    if !serving_is_needed(options, now)?
        && let Some(kept) = pki::read(&path)?.and_then(|text| split(&text))
    {
        return Ok(kept);
    }
    let wanted = serving_certificate(options);
    match certificate::get(env, api, &options.dir, &wanted, Duration::ZERO).await {
        Ok(identity) => {
            pki::write_private(&path, as_file(&identity).as_bytes())?;
            Ok(identity)
        }
        Err(error @ (Error::NotApproved { .. } | Error::Denied { .. } | Error::Failed { .. })) => {
            match error {
                // Seldom signed at once: it is asked for again.
                Error::NotApproved { .. } => info!(
                    "the kubelet's serving certificate is asked for; until it is signed, logs and exec do not work"
                ),
                error => warn!(%error, "the kubelet has no serving certificate; logs and exec do not work"),
            }
            let own = Authority::generate(&format!("{}-ca", options.node_name), now)?;
            Ok(own.issue(&Profile::server(options.node_name.clone(), wanted.names), now)?)
        }
        Err(error) => Err(error),
    }
}

/// Missing, near its end, or for other addresses.
fn serving_is_needed(options: &JoinOptions, now: Timestamp) -> Result<bool, Error> {
    let kept = pki::read(&options.dir.join("kubelet-serving.pem"))?.unwrap_or_default();
    let Ok(parsed) = pki::Parsed::from_pem(&kept) else { return Ok(true) };
    let names = options.node_addresses.iter().all(|address| parsed.names.addresses.contains(address));
    Ok(!names || pki::needs_renewal(&kept, now))
}

async fn discover(env: &Env, options: &JoinOptions) -> Result<String, Error> {
    let token = options.token.as_ref().ok_or(Error::NoToken)?;
    // Nothing secret is sent on this connection, and what it brings is believed by its hash alone.
    let anybody = Https::new(HttpsOptions::new(options.server.clone(), Roots::Unchecked), env)?;
    discovery::authority(&anybody, &options.server, &token.ca_hash).await
}

fn https(options: &JoinOptions, ca: &str) -> HttpsOptions {
    HttpsOptions::new(options.server.clone(), Roots::Pem(ca.as_bytes().to_vec()))
}

fn is_valid(identity: &Identity, now: Timestamp) -> bool {
    pki::Parsed::from_pem(&identity.certificate).is_ok_and(|parsed| parsed.is_valid_at(now))
}

fn user_name(options: &JoinOptions) -> String {
    format!("{}{}", auth::names::NODE_PREFIX, options.node_name)
}

fn client_certificate(options: &JoinOptions) -> Wanted {
    Wanted {
        file: "kubelet",
        signer: "kubernetes.io/kube-apiserver-client-kubelet",
        usage: "client auth",
        common_name: user_name(options),
        names: Vec::new(),
    }
}

fn serving_certificate(options: &JoinOptions) -> Wanted {
    let mut names = vec![options.node_name.clone()];
    names.extend(options.node_addresses.iter().map(IpAddr::to_string));
    Wanted {
        file: "kubelet-serving",
        signer: "kubernetes.io/kubelet-serving",
        usage: "server auth",
        common_name: user_name(options),
        names,
    }
}

#[cfg(test)]
mod tests;
