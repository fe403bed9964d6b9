//! Which authorizers decide, and the ones that are not rules over our own objects: webhooks, and
//! those that say the same to everything.

pub mod configuration;
mod webhook;

pub use configuration::{Configuration, Entry, Mode};
pub use webhook::{Version, Webhook, WebhookOptions};

use crate::authorizer::{Authorizer, Decision};
use crate::names;
use base::Env;
use base::metrics::{Counter, EncodeLabelSet, Family, Metrics};
use meta::Attributes;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tracing::{info, warn};

/// Allows or refuses everything.
pub struct Always(pub bool);

impl Authorizer for Always {
    fn authorize(&self, _: &Attributes<'_>) -> Decision {
        match self.0 {
            true => Decision::allow(""),
            false => Decision::no_opinion("Everything is forbidden."),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    r#type: String,
    name: String,
    decision: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Calls {
    name: String,
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Skips {
    r#type: String,
    name: String,
}

/// What authorization counts, under upstream's names.
#[derive(Clone)]
pub struct Counts {
    decisions: Family<Labels, Counter>,
    calls: Family<Calls, Counter>,
    open: Family<Calls, Counter>,
    exclusions: Family<Skips, Counter>,
    condition_errors: Family<Skips, Counter>,
}

impl Counts {
    pub fn new(metrics: &Metrics) -> Self {
        let name = |rest: &str| format!("apiserver_authorization_{rest}");
        Counts {
            decisions: metrics.register(
                &name("decisions"),
                "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
                Family::default(),
            ),
            calls: metrics.register(
                &name("webhook_evaluations"),
                "Number of round-trips to authorization webhooks.",
                Family::default(),
            ),
            open: metrics.register(
                &name("webhook_evaluations_fail_open"),
                "NoOpinion results due to webhook timeout or error.",
                Family::default(),
            ),
            exclusions: metrics.register(
                &name("match_condition_exclusions"),
                "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
                Family::default(),
            ),
            condition_errors: metrics.register(
                &name("match_condition_evaluation_errors"),
                "Total number of errors when an authorization webhook encounters a match condition error.",
                Family::default(),
            ),
        }
    }
}

/// One authorizer of a chain, with what its decisions are counted under.
struct Link {
    kind: &'static str,
    name: String,
    authorizer: Arc<dyn Authorizer>,
}

/// Authorizers in their order. `system:masters` needs none.
struct Chain {
    links: Vec<Link>,
    counts: Counts,
}

impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.in_group(names::MASTERS) {
            return Decision::allow("");
        }
        let mut reasons: Vec<Arc<str>> = Vec::new();
        for link in &self.links {
            let decision = link.authorizer.authorize(attributes);
            let word = match &decision {
                Decision::Allow { .. } => "allowed",
                Decision::Deny { .. } => "denied",
                Decision::NoOpinion { reason } => {
                    if !reason.is_empty() {
                        reasons.push(reason.clone());
                    }
                    continue;
                }
            };
            let labels = Labels { r#type: link.kind.to_owned(), name: link.name.clone(), decision: word.to_owned() };
            self.counts.decisions.get_or_create(&labels).inc();
            return decision;
        }
        Decision::no_opinion(reasons.join("\n"))
    }
}

/// The authorizers that stand on our own objects.
#[derive(Clone)]
pub struct BuiltIn {
    pub node: Arc<dyn Authorizer>,
    pub rbac: Arc<dyn Authorizer>,
}

/// The authorizer a configuration describes; it can be changed while it decides.
pub struct Configured {
    current: RwLock<Arc<Chain>>,
    built_in: BuiltIn,
    counts: Counts,
    env: Env,
}

impl Configured {
    /// # Errors
    /// A webhook's kubeconfig cannot be used.
    pub async fn new(configuration: &Configuration, built_in: BuiltIn, env: &Env) -> Result<Arc<Self>, String> {
        let counts = Counts::new(&env.metrics);
        let chain = Arc::new(chain(configuration, &built_in, &counts, env).await?);
        Ok(Arc::new(Configured { current: RwLock::new(chain), built_in, counts, env: env.clone() }))
    }

    /// Follows a configuration file for ever: what it says counts once it is right.
    pub async fn follow(self: Arc<Self>, path: std::path::PathBuf) {
        let mut last = std::fs::read(&path).unwrap_or_default();
        loop {
            self.env.clock.sleep(LOOK_EVERY).await;
            let Ok(text) = std::fs::read(&path) else { continue };
            if text == last {
                continue;
            }
            match self.reload(&path).await {
                Ok(()) => info!(path = %path.display(), "reloaded authz config"),
                Err(error) => {
                    warn!(path = %path.display(), error, "reloading authz config failed; the old one goes on")
                }
            }
            last = text;
        }
    }

    async fn reload(&self, path: &Path) -> Result<(), String> {
        let configuration = Configuration::load(path)?;
        let has = |mode: &Mode| configuration.entries.iter().any(|entry| entry.mode.name() == mode.name());
        // As upstream: these two stand on what is set up at the start only.
        for mode in [Mode::Node, Mode::Rbac] {
            let had = self.current().links.iter().any(|link| link.kind == mode.name());
            if has(&mode) != had {
                return Err(format!(
                    "authorizer of type {} can not be added or removed without a restart",
                    mode.name()
                ));
            }
        }
        let chain = Arc::new(chain(&configuration, &self.built_in, &self.counts, &self.env).await?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(())
    }

    fn current(&self) -> Arc<Chain> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How often a configuration file is looked at, as upstream does.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

impl Authorizer for Configured {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        self.current().authorize(attributes)
    }
}

async fn chain(configuration: &Configuration, built_in: &BuiltIn, counts: &Counts, env: &Env) -> Result<Chain, String> {
    let mut links = Vec::with_capacity(configuration.entries.len());
    for entry in &configuration.entries {
        let authorizer: Arc<dyn Authorizer> = match &entry.mode {
            Mode::AlwaysAllow => Arc::new(Always(true)),
            Mode::AlwaysDeny => Arc::new(Always(false)),
            Mode::Node => built_in.node.clone(),
            Mode::Rbac => built_in.rbac.clone(),
            Mode::Webhook(options) => {
                let webhook = Webhook::open(&entry.name, options, counts.clone(), env).await;
                Arc::new(webhook.map_err(|error| error.to_string())?)
            }
        };
        links.push(Link { kind: entry.mode.name(), name: entry.name.clone(), authorizer });
    }
    Ok(Chain { links, counts: counts.clone() })
}

#[cfg(test)]
mod tests;
