//! The user of a scenario: lets time pass, and insists on what it asks for.

use crate::world::World;
use base::Rng;
use client::{Api, Error, Request, Response};
use meta::Reason;
use std::sync::Arc;
use std::time::Duration;

pub const TICK: Duration = Duration::from_secs(1);

pub struct Player {
    pub world: Arc<World>,
    pub rng: Rng,
    user: Arc<dyn Api>,
}

impl Player {
    pub fn new(world: &Arc<World>) -> Self {
        Player { rng: world.env.rng.fork(), user: world.admin("user"), world: world.clone() }
    }

    /// Lets time pass, unless something is wrong already; `check` looks at every second of it.
    ///
    /// # Errors
    /// A rule was broken.
    pub async fn wait(&self, mut how_long: Duration, check: &dyn Fn() -> Option<String>) -> Result<(), String> {
        while !how_long.is_zero() {
            let tick = how_long.min(TICK);
            self.world.env.clock.sleep(tick).await;
            how_long -= tick;
            if let Some(wrong) = self.world.net.ledger.first_wrong().or_else(check) {
                return Err(wrong);
            }
            let panicked = self.world.env.tasks.failed();
            if self.world.env.clock.timeout(Duration::ZERO, panicked).await.is_ok() {
                return Err("a task panicked".to_owned());
            }
        }
        Ok(())
    }

    /// Sends a request until it is done; what is done already is as good.
    pub async fn insist(&self, request: Request) -> Option<Response> {
        for _ in 0..10_000 {
            match self.user.call(request.clone()).await {
                Ok(response) => return Some(response),
                Err(error) if is_settled(&error) => return None,
                Err(_) => self.world.env.clock.sleep(Duration::from_millis(200)).await,
            }
        }
        self.world.net.ledger.wrong("the user got no answer in half an hour".to_owned());
        None
    }
}

/// Trying again would not change the answer.
fn is_settled(error: &Error) -> bool {
    [Reason::AlreadyExists, Reason::NotFound, Reason::Conflict, Reason::Invalid, Reason::BadRequest]
        .into_iter()
        .any(|reason| error.is(reason))
}
