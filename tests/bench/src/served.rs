//! One started side while its rows are measured one after the other, with its memory watched.

use crate::bench::Bench;
use crate::load::{self, Load, Make, Outcome, Shot};
use crate::objects;
use crate::sides::{Kind, Parts, Side};
use crate::usage;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub struct Served<'b> {
    pub bench: &'b Bench,
    pub side: Side,
    /// Bytes of PSS after the start, before any load.
    pub idle: f64,
    /// The most bytes seen.
    peak: Arc<AtomicU64>,
    watching: tokio::task::JoinHandle<()>,
}

/// What a load came to, with the CPU that both ends used.
pub struct Cost {
    pub outcome: Outcome,
    /// Microseconds of the side's CPU for each request.
    pub server_cpu: f64,
    /// Cores that the load generator used meanwhile.
    pub client_cores: f64,
}

/// What a start goes on with in the background.
const SETTLE: Duration = Duration::from_millis(500);

/// How often memory is looked at: reading it costs the side a little.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl<'b> Served<'b> {
    pub async fn start(bench: &'b Bench, kind: Kind, parts: Parts, folder: &Path) -> anyhow::Result<Self> {
        let mut served = Self::at_once(bench, kind, parts, folder).await?;
        bench.env.clock.sleep(SETTLE).await;
        served.idle = usage::pss_bytes(&served.side.pids());
        Ok(served)
    }

    /// Without waiting for what goes on after the start.
    pub async fn at_once(bench: &'b Bench, kind: Kind, parts: Parts, folder: &Path) -> anyhow::Result<Self> {
        let side = Side::start(bench, kind, parts, folder).await?;
        let idle = usage::pss_bytes(&side.pids());
        let peak = Arc::new(AtomicU64::new(idle as u64));
        let (env, seen) = (bench.env.clone(), peak.clone());
        let watching = bench.env.tasks.spawn("memory", async move {
            loop {
                let now = usage::pss_bytes(&usage::below(usage::own_pid()));
                seen.fetch_max(now as u64, Ordering::Relaxed);
                env.clock.sleep(LOOK_EVERY).await;
            }
        });
        Ok(Served { bench, side, idle, peak, watching })
    }

    pub fn peak(&self) -> f64 {
        let now = usage::pss_bytes(&self.side.pids());
        self.peak.fetch_max(now as u64, Ordering::Relaxed).max(now as u64) as f64
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.watching.abort();
        self.side.stop(self.bench).await
    }

    /// Leaves the side to others.
    pub fn into_side(self) -> Side {
        self.watching.abort();
        self.side
    }

    pub async fn once(&self, shot: &Shot) -> anyhow::Result<bytes::Bytes> {
        load::once(&self.bench.env, &self.side.target, shot).await
    }

    /// A namespace in which pods can be created.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let text = objects::namespace(name).to_string();
        self.once(&Shot::create("/api/v1/namespaces", text, "")).await?;
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        let account = objects::service_account(name).to_string();
        // Where controllers run they are as quick as we are: either way it is there.
        let made = self.once(&Shot::create(&accounts, account, "")).await;
        match made {
            Err(failure) if !failure.to_string().contains("AlreadyExists") => Err(failure),
            _ => Ok(()),
        }
    }

    /// Runs a load and counts what it cost both ends.
    pub async fn load(&mut self, load: Load, make: Make) -> anyhow::Result<Cost> {
        let own = [usage::own_pid()];
        let (server, client) = (self.side.cpu(), usage::cpu_seconds(&own));
        let outcome = load::run(&self.bench.env, &self.side.target, load, make).await?;
        let (server, client) = (self.side.cpu() - server, usage::cpu_seconds(&own) - client);
        self.side.check()?;
        Ok(Cost {
            server_cpu: server * 1e6 / outcome.done.max(1) as f64,
            client_cores: client / outcome.seconds,
            outcome,
        })
    }
}
