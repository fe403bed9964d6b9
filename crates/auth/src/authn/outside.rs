//! Users whom others know: issuers of the authentication configuration, which may change while the
//! server runs, and the token webhook.

use super::configuration::{Anonymous, Configuration};
use super::issuer::TokenIssuer;
use super::token_webhook::TokenWebhook;
use crate::authorization::LOOK_EVERY;
use crate::jwt;
use base::{Env, Tasks, Timestamp};
use meta::User;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tracing::{info, warn};

struct State {
    issuers: Vec<Arc<TokenIssuer>>,
    anonymous: Option<Anonymous>,
    /// Those that keep the issuers' keys fresh.
    tasks: Tasks,
}

pub struct Outside {
    state: RwLock<Arc<State>>,
    webhook: Option<TokenWebhook>,
    env: Env,
}

impl Outside {
    pub fn new(configuration: Configuration, webhook: Option<TokenWebhook>, env: &Env) -> Arc<Self> {
        let state = Arc::new(state(configuration, env));
        Arc::new(Outside { state: RwLock::new(state), webhook, env: env.clone() })
    }

    /// Follows the configuration's file for ever: what it says counts once it is right.
    pub async fn follow(self: Arc<Self>, path: PathBuf, own_issuers: Vec<String>) {
        let mut last = std::fs::read(&path).unwrap_or_default();
        loop {
            self.env.clock.sleep(LOOK_EVERY).await;
            let Ok(text) = std::fs::read(&path) else { continue };
            if text == last {
                continue;
            }
            match Configuration::parse(&text, &own_issuers) {
                Ok(configuration) => {
                    let new = Arc::new(state(configuration, &self.env));
                    let old = {
                        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
                        std::mem::replace(&mut *current, new)
                    };
                    old.tasks.stop().await;
                    info!(path = %path.display(), "reloaded authentication config");
                }
                Err(error) => {
                    warn!(path = %path.display(), %error, "reloading authentication config failed; the old one goes on");
                }
            }
            last = text;
        }
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the configuration says of requests without credentials; None: nothing.
    pub(super) fn admits(&self, path: &str) -> Option<bool> {
        self.state().anonymous.as_ref().map(|anonymous| anonymous.admits(path))
    }

    /// The user behind a token and when it ends; None: nobody knows it.
    ///
    /// # Errors
    /// What those who know the token have against it.
    pub(super) fn user(&self, token: &str, now: Timestamp) -> Result<Option<(User, Option<Timestamp>)>, Vec<String>> {
        let mut errors = Vec::new();
        let claims = jwt::peek(token).unwrap_or_default();
        if let Some(url) = claims["iss"].as_str() {
            let state = self.state();
            if let Some(issuer) = state.issuers.iter().find(|issuer| issuer.url() == url) {
                match issuer.user(token, now) {
                    Ok((user, ends)) => return Ok(Some((user, Some(ends)))),
                    Err(why) => errors.push(why),
                }
            }
        }
        match self.webhook.as_ref().map(|webhook| webhook.user(token, now)) {
            Some(Ok(Some(user))) => Ok(Some((user, None))),
            Some(Err(why)) => {
                errors.push(why);
                Err(errors)
            }
            _ if errors.is_empty() => Ok(None),
            _ => Err(errors),
        }
    }
}

fn state(configuration: Configuration, env: &Env) -> State {
    let tasks = env.tasks.child();
    let issuers: Vec<_> = configuration.issuers.into_iter().map(|options| TokenIssuer::new(options, env)).collect();
    for issuer in &issuers {
        tasks.spawn("issuer's keys", issuer.clone().keep_keys());
    }
    State { issuers, anonymous: configuration.anonymous, tasks }
}
