//! The token webhook: asks another server by TokenReview whom a token stands for, remembers both
//! answers for a while.

use super::digest;
use crate::authorization::Version;
use crate::remote::{self, Remote};
use base::collections::HashMap;
use base::{Env, Timestamp};
use jiff::SignedDuration;
use meta::User;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const REMEMBERED_AT_MOST: usize = 8192;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// `--authentication-token-webhook-*`.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    pub kubeconfig: PathBuf,
    /// Of the TokenReview.
    pub version: Version,
    /// How long answers are remembered.
    pub kept_for: Duration,
}

type Remembered = HashMap<[u8; 32], (Option<User>, Timestamp)>;

pub struct TokenWebhook {
    remote: Remote,
    version: &'static str,
    kept_for: SignedDuration,
    audiences: Vec<String>,
    remembered: Mutex<Remembered>,
}

impl TokenWebhook {
    /// # Errors
    /// Its kubeconfig cannot be used.
    pub async fn open(options: &WebhookOptions, audiences: &[String], env: &Env) -> Result<Self, remote::Error> {
        Ok(TokenWebhook {
            remote: Remote::open(&options.kubeconfig, ANSWER_WITHIN, env).await?,
            version: match options.version {
                Version::V1 => "v1",
                Version::V1beta1 => "v1beta1",
            },
            kept_for: options.kept_for.try_into().unwrap_or(SignedDuration::ZERO),
            audiences: audiences.to_vec(),
            remembered: Mutex::default(),
        })
    }

    /// The user behind a token; None: the webhook knows nobody.
    ///
    /// # Errors
    /// No answer, or why there is no user.
    pub fn user(&self, token: &str, now: Timestamp) -> Result<Option<User>, String> {
        let key = digest(token);
        let found = self.memory().get(&key).filter(|(_, until)| now < *until).map(|(user, _)| user.clone());
        if let Some(user) = found {
            return Ok(user);
        }
        let user = self.ask(token)?;
        let mut memory = self.memory();
        if memory.len() >= REMEMBERED_AT_MOST {
            memory.retain(|_, (_, until)| now < *until);
        }
        if memory.len() < REMEMBERED_AT_MOST && self.kept_for > SignedDuration::ZERO {
            memory.insert(key, (user.clone(), now + self.kept_for));
        }
        Ok(user)
    }

    fn ask(&self, token: &str) -> Result<Option<User>, String> {
        let review = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.version),
            "kind": "TokenReview",
            "metadata": {"creationTimestamp": null},
            "spec": {"token": token, "audiences": self.audiences},
            "status": {"user": {}},
        });
        let answer = self.remote.ask(&review).map_err(|error| error.to_string())?;
        let status = &answer["status"];
        if status["authenticated"].as_bool() != Some(true) {
            return match status["error"].as_str().filter(|error| !error.is_empty()) {
                Some(error) => Err(error.to_owned()),
                None => Ok(None),
            };
        }
        // A webhook that does not know of audiences says none.
        let meant = status["audiences"].as_array().cloned().unwrap_or_default();
        let fits = |one: &serde_json::Value| self.audiences.iter().any(|own| Some(own.as_str()) == one.as_str());
        if !meant.is_empty() && !meant.iter().any(fits) {
            return Ok(None);
        }
        let user: User = serde_json::from_value(status["user"].clone()).map_err(|error| error.to_string())?;
        if user.name.is_empty() { Err("the webhook named no user".to_owned()) } else { Ok(Some(user)) }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
