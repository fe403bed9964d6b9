//! A server's certificates and keys, as files below `<data-dir>/pki`:
//!
//! | file | what |
//! | --- | --- |
//! | `ca.crt`, `ca.key` | the cluster's authority: serving and client certificates |
//! | `front-proxy-ca.crt`, `front-proxy-ca.key` | signs the API server's identity towards extension servers |
//! | `sa.key`, `sa.pub` | signs service account tokens |
//! | `<identity>.pem` | a certificate and its key |
//!
//! Authorities and `sa.key` are made once and never again; put there before the first start (from
//! kubeadm, say) they are used. Identities are made again whenever they are missing, unreadable,
//! near their end, of another authority or for other names.

use auth::pki::{self, Authority, Identity, Key, Parsed, Profile};
use base::Timestamp;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Administrators; bound to cluster-admin, so that (unlike `system:masters`) it can be taken away.
pub const ADMIN_GROUP: &str = "kubeadm:cluster-admins";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Pki(#[from] pki::Error),
    #[error("cannot make the directory {path}: {source}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: pki::Error },
    #[error("{present} is there but {missing} is not: put it back, or remove both and the cluster gets new ones")]
    Half { present: PathBuf, missing: PathBuf },
    #[error("the certificate authority {path} ended on {end}: nothing it signed is believed any more")]
    Ended { path: PathBuf, end: Timestamp },
}

/// What certificates are made for.
#[derive(Debug, Clone)]
pub struct PkiOptions {
    pub node_name: String,
    pub cluster_domain: String,
    /// Where the API server is reached: the first service address, the advertised one, the node's.
    pub server_addresses: Vec<IpAddr>,
    /// More names it is called by.
    pub server_names: Vec<String>,
    /// Where the kubelet is reached.
    pub node_addresses: Vec<IpAddr>,
}

/// Everything a server proves its identity with.
#[derive(Clone)]
pub struct Pki {
    pub ca: Arc<Authority>,
    pub front_proxy_ca: Arc<Authority>,
    pub service_account: Arc<Key>,
    /// What the API server shows to its clients.
    pub apiserver: Identity,
    /// What it shows to kubelets.
    pub apiserver_kubelet_client: Identity,
    /// What it shows to extension servers.
    pub front_proxy_client: Identity,
    /// For `admin.kubeconfig`.
    pub admin: Identity,
    /// In `system:masters`: the way back in when RBAC locks everybody out.
    pub super_admin: Identity,
    pub controller_manager: Identity,
    pub scheduler: Identity,
    /// `system:node:<name>`.
    pub kubelet: Identity,
    /// What the kubelet shows on its own port.
    pub kubelet_serving: Identity,
    pub kube_proxy: Identity,
    pub dns: Identity,
}

impl Pki {
    /// # Errors
    /// Files that cannot be read, written or used.
    pub fn load_or_create(dir: &Path, options: &PkiOptions, now: Timestamp) -> Result<Self, Error> {
        make_directory(dir)?;
        let ca = Arc::new(authority(dir, "ca", "kubernetes", now)?);
        let front_proxy_ca = Arc::new(authority(dir, "front-proxy-ca", "front-proxy-ca", now)?);
        let service_account = Arc::new(service_account_key(dir)?);
        let own = |name: &str, profile: Profile| identity(dir, name, &ca, &profile, now);
        let node = format!("{}{}", auth::names::NODE_PREFIX, options.node_name);
        let server_names = pki::apiserver_names(
            &options.cluster_domain,
            &options.node_name,
            &options.server_addresses,
            &options.server_names,
        );
        let kubelet_serving = Profile {
            organizations: vec![auth::names::NODES.to_owned()],
            ..Profile::server(&node, kubelet_names(options))
        };
        Ok(Pki {
            apiserver: own("apiserver", Profile::server("kube-apiserver", server_names))?,
            apiserver_kubelet_client: own(
                "apiserver-kubelet-client",
                Profile::client("kube-apiserver-kubelet-client", &[ADMIN_GROUP]),
            )?,
            front_proxy_client: identity(
                dir,
                "front-proxy-client",
                &front_proxy_ca,
                &Profile::client("front-proxy-client", &[]),
                now,
            )?,
            admin: own("admin", Profile::client("kubernetes-admin", &[ADMIN_GROUP]))?,
            super_admin: own("super-admin", Profile::client("kubernetes-super-admin", &[auth::names::MASTERS]))?,
            controller_manager: own("controller-manager", Profile::client("system:kube-controller-manager", &[]))?,
            scheduler: own("scheduler", Profile::client("system:kube-scheduler", &[]))?,
            kubelet: own("kubelet", Profile::client(&node, &[auth::names::NODES]))?,
            kubelet_serving: own("kubelet-serving", kubelet_serving)?,
            kube_proxy: own("kube-proxy", Profile::client("system:kube-proxy", &[]))?,
            dns: own("dns", Profile::client(DNS_USER, &[]))?,
            ca,
            front_proxy_ca,
            service_account,
        })
    }

    /// True when calling [`Pki::load_or_create`] again would make new identities. The server asks
    /// now and then, and takes new ones over without a restart.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        [
            &self.apiserver,
            &self.apiserver_kubelet_client,
            &self.front_proxy_client,
            &self.admin,
            &self.super_admin,
            &self.controller_manager,
            &self.scheduler,
            &self.kubelet,
            &self.kubelet_serving,
            &self.kube_proxy,
            &self.dns,
        ]
        .iter()
        .any(|identity| pki::needs_renewal(&identity.certificate, now))
    }
}

/// The cluster DNS of a server, as a user; agents' DNS has a service account's token instead.
pub const DNS_USER: &str = "system:serviceaccount:kube-system:coredns";

fn kubelet_names(options: &PkiOptions) -> Vec<String> {
    let mut names = vec![options.node_name.clone()];
    names.extend(options.node_addresses.iter().map(IpAddr::to_string));
    names
}

/// A directory that only its owner may look into.
pub(crate) fn make_directory(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| Error::Directory { path: dir.to_owned(), source })
}

fn authority(dir: &Path, name: &str, common_name: &str, now: Timestamp) -> Result<Authority, Error> {
    let (crt, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    match (pki::read(&crt)?, pki::read(&key)?) {
        (Some(certificate), Some(private)) => {
            let authority = Authority::from_pem(&certificate, &private)
                .map_err(|source| Error::File { path: crt.clone(), source })?;
            if authority.not_after() <= now {
                return Err(Error::Ended { path: crt, end: authority.not_after() });
            }
            Ok(authority)
        }
        (None, None) => {
            let authority = Authority::generate(common_name, now)?;
            // The key first: a certificate alone would look like one whose key was taken away.
            pki::write_private(&key, authority.key().to_pem().as_bytes())?;
            pki::write_public(&crt, authority.certificate().as_bytes())?;
            Ok(authority)
        }
        // A crash between the two writes above.
        (None, Some(_)) if is_untouched(dir) => {
            std::fs::remove_file(&key).map_err(|source| Error::Directory { path: key.clone(), source })?;
            self::authority(dir, name, common_name, now)
        }
        (Some(_), None) => Err(Error::Half { present: crt, missing: key }),
        (None, Some(_)) => Err(Error::Half { present: key, missing: crt }),
    }
}

/// True while no identity was ever issued here.
fn is_untouched(dir: &Path) -> bool {
    !dir.join("apiserver.pem").exists() && !dir.join("sa.key").exists()
}

fn service_account_key(dir: &Path) -> Result<Key, Error> {
    let (path, public) = (dir.join("sa.key"), dir.join("sa.pub"));
    let key = match pki::read(&path)? {
        Some(text) => Key::from_pem(&text).map_err(|source| Error::File { path: path.clone(), source })?,
        None => {
            let key = Key::generate()?;
            pki::write_private(&path, key.to_pem().as_bytes())?;
            key
        }
    };
    let text = key.public().to_pem();
    if pki::read(&public)?.as_deref() != Some(&text) {
        pki::write_public(&public, text.as_bytes())?;
    }
    Ok(key)
}

/// The identity kept as `<name>.pem`, if it still serves; a new one otherwise.
fn identity(dir: &Path, name: &str, ca: &Authority, profile: &Profile, now: Timestamp) -> Result<Identity, Error> {
    let path = dir.join(format!("{name}.pem"));
    if let Some(kept) = pki::read(&path)?.and_then(|text| split(&text))
        && serves(&kept, ca, profile, now)
    {
        return Ok(kept);
    }
    let issued = ca.issue(profile, now)?;
    pki::write_replaceable(&path, join(&issued).as_bytes())?;
    Ok(issued)
}

/// A certificate and its key as one file.
pub(crate) fn join(identity: &Identity) -> String {
    format!("{}{}", identity.certificate, identity.key)
}

pub(crate) fn split(text: &str) -> Option<Identity> {
    let at = text.find("-----BEGIN PRIVATE KEY")?;
    let (certificate, key) = text.split_at(at);
    (!certificate.is_empty()).then(|| Identity { certificate: certificate.to_owned(), key: key.to_owned() })
}

fn serves(kept: &Identity, ca: &Authority, profile: &Profile, now: Timestamp) -> bool {
    let (Ok(parsed), Ok(key)) = (Parsed::from_pem(&kept.certificate), Key::from_pem(&kept.key)) else {
        return false;
    };
    let mut has: Vec<String> = parsed.names.dns.clone();
    has.extend(parsed.names.addresses.iter().map(IpAddr::to_string));
    let mut groups = [parsed.organizations.clone(), profile.organizations.clone()];
    groups.iter_mut().for_each(|list| list.sort());
    parsed.public_key == *key.public().subject()
        && parsed.common_name == profile.common_name
        && groups[0] == groups[1]
        && profile.names.iter().all(|name| has.contains(name))
        && !pki::needs_renewal(&kept.certificate, now)
        && ca.has_signed(&kept.certificate)
}

#[cfg(test)]
mod tests;
