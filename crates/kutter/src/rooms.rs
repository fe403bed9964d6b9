//! Wires the rooms that only need an API: controllers and scheduler, each under its own identity.

use crate::control_plane::ControlPlane;
use crate::signing::Signing;
use crate::up::Options;
use anyhow::Context as _;
use auth::authn::service_account;
use auth::authn::{Bound, Issuer};
use base::Env;
use client::{Api, Caches};
use controllers::{Range, TokenIssuer};
use meta::User;
use std::sync::Arc;

/// Upstream's gate for accounts that get a token Secret by themselves, as before 1.24.
const LEGACY_TOKENS: &str = "LegacyServiceAccountTokenNoAutoGeneration";

const MANAGER: &str = "kube-controller-manager";

pub fn start(env: &Env, plane: &ControlPlane, options: &Options) -> anyhow::Result<()> {
    if !options.no_controllers {
        start_controllers(env, plane, options)?;
    }
    if !options.no_scheduler {
        let scheduler = plane.api(User::new("system:kube-scheduler", &[auth::names::AUTHENTICATED]));
        scheduler::start(env, scheduler, scheduler_options(options)?);
    }
    Ok(())
}

fn start_controllers(env: &Env, plane: &ControlPlane, options: &Options) -> anyhow::Result<()> {
    let nodes = Range::parse(&options.pod_cidr, Some(options.node_cidr_mask_size.into()))?;
    let caches = Caches::new(plane.api(manager()), env);
    let wanted = controllers::Options {
        root_ca: Some(plane.pki.ca.certificate().to_owned()),
        token_issuer: Some(Arc::new(SecretTokens(plane.issuer(options)?))),
        signer: Some(Arc::new(Signing(plane.pki.ca.clone()))),
        node_ranges: vec![nodes],
        secret_for_each_account: options.feature_gates.get(LEGACY_TOKENS) == Some(&false),
        ..controllers::Options::new(caches)
    };
    controllers::start(env, &|identity| controller_api(plane, identity), wanted);
    Ok(())
}

fn scheduler_options(options: &Options) -> anyhow::Result<scheduler::Options> {
    let config = match &options.scheduler_config {
        None => scheduler::Config::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            scheduler::config::parse(&text).with_context(|| format!("--scheduler-config {}", path.display()))?
        }
    };
    Ok(scheduler::Options { config, host: options.node_name.clone().unwrap_or_default() })
}

/// Controllers are service accounts of kube-system, each with upstream's role; a few do what only
/// the whole manager may.
fn controller_api(plane: &ControlPlane, identity: &str) -> Arc<dyn Api> {
    if identity == MANAGER {
        return plane.api(manager());
    }
    let mut user = User::new(service_account::user_name("kube-system", identity), &[auth::names::AUTHENTICATED]);
    user.groups.extend(service_account::groups("kube-system"));
    plane.api(user)
}

fn manager() -> User {
    User::new(format!("system:{MANAGER}"), &[auth::names::AUTHENTICATED])
}

/// Fills Secrets that ask for a token of their account.
struct SecretTokens(Issuer);

impl TokenIssuer for SecretTokens {
    fn secret_token(&self, namespace: &str, secret: &str, account: &str, uid: &str) -> Result<String, String> {
        self.0.issue_legacy(namespace, Bound { name: account, uid }, secret).map_err(|error| error.to_string())
    }
}
