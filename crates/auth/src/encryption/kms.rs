//! KMS v2: values are sealed by keys made of a seed, the seed is sealed by a key service, and both
//! are stored together. The service is asked when a seed is made or an unknown one is read, not for
//! every value.

use super::Provider;
use super::cipher::Gcm;
use super::kms_agent::{Agent, Sealed};
use super::messages::{Fields, Message};
use crate::secret;
use base::collections::HashMap;
use base::{Clock, Timestamp};
use jiff::SignedDuration;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SEED: usize = 32;
/// How long a stored value's derivation salt is.
const INFO: usize = 32;
/// The forms of a stored value's key: a key as it is, and a seed for keys.
const FROM_SEED: u64 = 1;
/// How often the service is asked whether its key is still the same.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(60);
const SEEDS_KEPT: usize = 1024;

struct Current {
    seed: [u8; SEED],
    sealed: Sealed,
    looked: Timestamp,
}

pub struct KmsV2 {
    prefix: String,
    agent: Agent,
    clock: Clock,
    current: Mutex<Option<Arc<Current>>>,
    /// Seeds by the digest of their sealed form.
    opened: Mutex<HashMap<[u8; 32], Arc<[u8]>>>,
}

/// The length of the derived key, for ring.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

fn derived(seed: &[u8], info: &[u8]) -> Result<Gcm, String> {
    let prk = Prk::new_less_safe(HKDF_SHA256, seed);
    let mut key = [0; 32];
    prk.expand(&[info], Length).and_then(|okm| okm.fill(&mut key)).map_err(|_| "cannot derive a key".to_owned())?;
    Gcm::new(&key)
}

impl KmsV2 {
    /// # Errors
    /// The endpoint cannot be one.
    pub fn new(name: &str, endpoint: &str, limit: Duration) -> Result<Self, String> {
        Ok(KmsV2 {
            prefix: format!("k8s:enc:kms:v2:{name}:"),
            agent: Agent::start(name, endpoint, limit)?,
            clock: Clock::real(),
            current: Mutex::default(),
            opened: Mutex::default(),
        })
    }

    /// The seed to seal with: the same for as long as the service keeps its key.
    fn seed(&self) -> Result<Arc<Current>, String> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = current.as_ref().filter(|known| now < known.looked + LOOK_EVERY) {
            return Ok(known.clone());
        }
        let health = match (self.agent.status(), current.as_ref()) {
            (Ok(health), _) => health,
            // A service that is away for a while stops nobody: its key was good a moment ago.
            (Err(why), Some(known)) if now < known.looked + LOOK_EVERY * 3 => {
                tracing::warn!(error = why, "the key service does not answer");
                return Ok(known.clone());
            }
            (Err(why), _) => return Err(why),
        };
        if !matches!(health.version.as_str(), "v2" | "v2beta1") || health.healthz != "ok" || health.key_id.is_empty() {
            return Err(format!("the key service is not healthy: version {:?}, {:?}", health.version, health.healthz));
        }
        let kept = current.as_ref().filter(|known| known.sealed.key_id == health.key_id);
        let next = match kept {
            Some(known) => Current { seed: known.seed, sealed: known.sealed.clone(), looked: now },
            None => {
                let seed = secret::random::<SEED>().map_err(|error| error.to_string())?;
                let uid = secret::uuid().map_err(|error| error.to_string())?;
                let sealed = self.agent.encrypt(&seed, &uid)?;
                if sealed.ciphertext.is_empty() || sealed.key_id.is_empty() {
                    return Err("the key service sealed nothing".to_owned());
                }
                Current { seed, sealed, looked: now }
            }
        };
        let next = Arc::new(next);
        *current = Some(next.clone());
        Ok(next)
    }

    fn opened_seed(&self, sealed: &Sealed) -> Result<Arc<[u8]>, String> {
        let mut key = [0; 32];
        let digest = ring::digest::digest(&ring::digest::SHA256, &sealed.ciphertext);
        key.copy_from_slice(digest.as_ref());
        if let Some(known) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let uid = secret::uuid().map_err(|error| error.to_string())?;
        let seed: Arc<[u8]> = self.agent.decrypt(sealed, &uid)?.into();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= SEEDS_KEPT {
            opened.clear();
        }
        opened.insert(key, seed.clone());
        Ok(seed)
    }
}

impl Provider for KmsV2 {
    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        let current = self.seed()?;
        let info = secret::random::<INFO>().map_err(|error| error.to_string())?;
        let sealed = derived(&current.seed, &info)?.seal(place, plain)?;
        let data = [&info[..], &sealed[..]].concat();
        Ok(Message::default()
            .bytes(1, &data)
            .bytes(2, current.sealed.key_id.as_bytes())
            .bytes(3, &current.sealed.ciphertext)
            .map(4, &current.sealed.annotations)
            .number(5, FROM_SEED)
            .done())
    }

    fn open(&self, place: &str, stored: &[u8]) -> Result<Vec<u8>, String> {
        let fields = Fields::read(stored).ok_or("the stored value is damaged")?;
        let sealed =
            Sealed { ciphertext: fields.bytes(3).to_vec(), key_id: fields.text(2), annotations: fields.map(4) };
        let seed = self.opened_seed(&sealed)?;
        if fields.number(5) != FROM_SEED {
            return Gcm::new(&seed)?.open(place, fields.bytes(1));
        }
        let (info, data) = fields.bytes(1).split_at_checked(INFO).ok_or("the stored value is damaged")?;
        derived(&seed, info)?.open(place, data)
    }
}
