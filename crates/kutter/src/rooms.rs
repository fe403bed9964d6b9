//! Wires the rooms that only need an API: controllers and scheduler, each under its own identity.

use crate::control_plane::ControlPlane;
use crate::instance;
use crate::lead::{self, Begin, Candidate};
use crate::signing::Signing;
use crate::up::{self, Options};
use anyhow::Context as _;
use apiserver::Local;
use auth::authn::service_account;
use auth::authn::{Bound, Issuer};
use base::Env;
use client::leader::Timings;
use client::{Api, Caches};
use controllers::{Range, TokenIssuer};
use meta::User;
use std::sync::Arc;

/// Upstream's gate for accounts that get a token Secret by themselves, as before 1.24.
const LEGACY_TOKENS: &str = "LegacyServiceAccountTokenNoAutoGeneration";

const MANAGER: &str = "kube-controller-manager";

const SCHEDULER: &str = "kube-scheduler";

/// Each room leads by its lease: upstream's programs, started beside, wait for theirs. Without leader
/// election they just run, and nobody may run beside them.
pub fn start(env: &Env, plane: &ControlPlane, options: &Options) -> anyhow::Result<()> {
    // Known again after a crash, so that nobody need wait for the lease to run out.
    let identity = format!("{}_{}", up::host_name(), instance::id(&options.data_dir)?);
    let lead = |api, name, begin: Begin| {
        if !options.leader_elect {
            return begin(env);
        }
        let (identity, timings) = (identity.clone(), Timings::default());
        lead::spawn(env, Candidate { api, name, identity, timings }, begin);
    };
    if !options.no_controllers {
        lead(plane.api(manager()), MANAGER, controllers(plane, options)?);
    }
    if !options.no_scheduler {
        let api = plane.api(User::new("system:kube-scheduler", &[auth::names::AUTHENTICATED]));
        let (door, wanted) = (api.clone(), scheduler_options(options)?);
        lead(api, SCHEDULER, Box::new(move |env| scheduler::start(env, door.clone(), wanted.clone())));
    }
    Ok(())
}

fn controllers(plane: &ControlPlane, options: &Options) -> anyhow::Result<Begin> {
    let nodes = Range::parse(&options.pod_cidr, Some(options.node_cidr_mask_size.into()))?;
    let root_ca = plane.pki.ca.certificate().to_owned();
    let tokens = Arc::new(SecretTokens(plane.issuer(options)?));
    let signer = Arc::new(Signing(plane.pki.ca.clone()));
    let secret_for_each_account = options.feature_gates.get(LEGACY_TOKENS) == Some(&false);
    let server = plane.server.clone();
    Ok(Box::new(move |env| {
        let door = |user| -> Arc<dyn Api> { Arc::new(Local::new(server.clone(), user)) };
        let wanted = controllers::Options {
            root_ca: Some(root_ca.clone()),
            token_issuer: Some(tokens.clone()),
            signer: Some(signer.clone()),
            node_ranges: vec![nodes.clone()],
            secret_for_each_account,
            ..controllers::Options::new(Caches::new(door(manager()), env))
        };
        controllers::start(env, &|identity| door(controller(identity)), wanted);
    }))
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
fn controller(identity: &str) -> User {
    if identity == MANAGER {
        return manager();
    }
    let mut user = User::new(service_account::user_name("kube-system", identity), &[auth::names::AUTHENTICATED]);
    user.groups.extend(service_account::groups("kube-system"));
    user
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
