//! KMS v2: values are sealed by keys made of a seed, the seed is sealed by a key service, and both
//! are stored together. The service is asked when a seed is made or an unknown one is read, not for
//! every value; and by a thread of its own, so that a service which is slow or gone holds up nobody who
//! has something to seal: he is refused.

use super::Provider;
use super::cipher::Gcm;
use super::kms_agent::{Agent, Sealed};
use super::messages::{Fields, Message};
use crate::secret;
use base::collections::HashMap;
use base::{Clock, Timestamp};
use jiff::SignedDuration;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SEED: usize = 32;
/// How long a stored value's derivation salt is.
const INFO: usize = 32;
/// The forms of a stored value's key: a key as it is, and a seed for keys.
const FROM_SEED: u64 = 1;
/// How often the service is asked whether its key is still the same.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same after it gave no answer.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How long a seed is used without having heard of the service.
const GOOD_FOR: SignedDuration = SignedDuration::from_secs(180);
const SEEDS_KEPT: usize = 1024;

struct Current {
    seed: [u8; SEED],
    sealed: Sealed,
    looked: Timestamp,
}

pub struct KmsV2 {
    prefix: String,
    shared: Arc<Shared>,
    /// Has the keeper begin; when it is dropped, the keeper ends.
    wake: SyncSender<()>,
    /// For the first answer of all.
    patience: Duration,
    /// Seeds by the digest of their sealed form.
    opened: Mutex<HashMap<[u8; 32], Arc<[u8]>>>,
}

/// What the keeper works on.
struct Shared {
    agent: Agent,
    clock: Clock,
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    /// The seed to seal with: the same for as long as the service keeps its key.
    current: Option<Arc<Current>>,
    /// What the service said last; None: it was never asked.
    last: Option<Result<(), String>>,
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the service whether its key is still the same, and has a new seed sealed where it is not.
    fn look(&self) -> Result<Arc<Current>, String> {
        let now = self.clock.now();
        let health = self.agent.status()?;
        if !matches!(health.version.as_str(), "v2" | "v2beta1") || health.healthz != "ok" || health.key_id.is_empty() {
            return Err(format!("the key service is not healthy: version {:?}, {:?}", health.version, health.healthz));
        }
        let kept = self.state().current.clone().filter(|known| known.sealed.key_id == health.key_id);
        let (seed, sealed) = match kept {
            Some(known) => (known.seed, known.sealed.clone()),
            None => {
                let seed = secret::random::<SEED>().map_err(|error| error.to_string())?;
                let uid = secret::uuid().map_err(|error| error.to_string())?;
                let sealed = self.agent.encrypt(&seed, &uid)?;
                if sealed.ciphertext.is_empty() || sealed.key_id.is_empty() {
                    return Err("the key service sealed nothing".to_owned());
                }
                (seed, sealed)
            }
        };
        Ok(Arc::new(Current { seed, sealed, looked: now }))
    }

    /// Keeps the seed fresh from when it is first needed, until nobody needs it any more.
    fn keep(&self, wake: &Receiver<()>) {
        let mut pause = None;
        loop {
            let end = match pause {
                None => wake.recv().is_err(),
                Some(pause) => wake.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected),
            };
            if end {
                return;
            }
            let outcome = self.look();
            pause = Some(if outcome.is_ok() { LOOK_EVERY } else { TRY_EVERY });
            let mut state = self.state();
            if let (Err(why), false) = (&outcome, matches!(state.last, Some(Err(_)))) {
                tracing::warn!(error = why, "the key service does not answer");
            }
            state.last = Some(outcome.map(|seed| state.current = Some(seed)));
            drop(state);
            self.told.notify_all();
        }
    }
}

impl KmsV2 {
    /// # Errors
    /// The endpoint cannot be one.
    pub fn new(name: &str, endpoint: &str, limit: Duration) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            agent: Agent::start(name, endpoint, limit)?,
            clock: Clock::real(),
            state: Mutex::default(),
            told: Condvar::new(),
        });
        let (wake, woken) = sync_channel(1);
        let keeper = shared.clone();
        base::tasks::thread(&format!("kms {name} seed"), move || keeper.keep(&woken))
            .map_err(|error| error.to_string())?;
        Ok(KmsV2 {
            prefix: format!("k8s:enc:kms:v2:{name}:"),
            shared,
            wake,
            patience: limit.saturating_mul(2),
            opened: Mutex::default(),
        })
    }

    /// The seed to seal with. Only the very first asker waits for the service.
    fn seed(&self) -> Result<Arc<Current>, String> {
        let mut state = self.shared.state();
        if state.last.is_none() {
            // One call is enough, however many wait.
            let _ = self.wake.try_send(());
            let waited = self.shared.told.wait_timeout_while(state, self.patience, |state| state.last.is_none());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let now = self.shared.clock.now();
        match (&state.current, &state.last) {
            // A service that is away for a while stops nobody: its key was good a moment ago.
            (Some(known), _) if now < known.looked + GOOD_FOR => Ok(known.clone()),
            (_, Some(Err(why))) => Err(why.clone()),
            _ => Err("the key service does not answer".to_owned()),
        }
    }

    fn opened_seed(&self, sealed: &Sealed) -> Result<Arc<[u8]>, String> {
        let mut key = [0; 32];
        let digest = ring::digest::digest(&ring::digest::SHA256, &sealed.ciphertext);
        key.copy_from_slice(digest.as_ref());
        if let Some(known) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let uid = secret::uuid().map_err(|error| error.to_string())?;
        let seed: Arc<[u8]> = self.shared.agent.decrypt(sealed, &uid)?.into();
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
