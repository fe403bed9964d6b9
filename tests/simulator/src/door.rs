//! The API server as its clients find it: there, gone, or another one than before.

use apiserver::Server;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// One life of the server; the token ends with it.
#[derive(Clone)]
pub struct Life {
    pub server: Arc<Server>,
    pub end: CancellationToken,
}

#[derive(Default)]
pub struct Door(Mutex<Option<Life>>);

impl Door {
    pub fn open(&self, server: Arc<Server>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Life { server, end: CancellationToken::new() });
    }

    /// The server is gone, and with it every request and watch that is under way.
    pub fn close(&self) {
        let life = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(life) = life {
            life.end.cancel();
        }
    }

    pub fn life(&self) -> Option<Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
