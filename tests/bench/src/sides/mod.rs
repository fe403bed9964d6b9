//! The two sides: how each is started and stopped, and the files that both take alike.

mod kutter;
pub mod node;
mod upstream;

use crate::bench::Bench;
use crate::load::{self, Shot, Target};
use crate::process::Program;
use crate::usage;
use auth::pki::Identity;
use cluster::tls;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use upstream::{Component, fetch};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kutter,
    Upstream,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Kutter, Kind::Upstream];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Kutter => "Kutter",
            Kind::Upstream => "upstream",
        }
    }
}

/// Where each side's API server listens: in a network namespace of the harness's own.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// A side whose API answers.
pub struct Side {
    pub kind: Kind,
    pub programs: Vec<Program>,
    pub target: Target,
    /// From the start of its first program to the first good answer of /readyz.
    pub ready_after: Duration,
    pub folder: PathBuf,
}

/// What of a side is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// What answers API requests and nothing that acts on what is written.
    Bare,
    /// What answers API requests: of upstream's programs two; all of Kutter, which is one.
    Api,
    /// The same, and nothing that schedules.
    Unscheduled,
    /// With the scheduler.
    Scheduler,
    /// The whole control plane.
    All,
}

impl Side {
    /// Starts a side on `folder`, which may hold what an earlier run left, and waits for /readyz.
    pub async fn start(bench: &Bench, kind: Kind, parts: Parts, folder: &Path) -> anyhow::Result<Self> {
        match kind {
            Kind::Kutter => kutter::start(bench, parts, folder).await,
            Kind::Upstream => upstream::start(bench, parts, folder).await,
        }
    }

    /// Starts upstream's component beside what runs; nothing for Kutter, which has it inside.
    pub fn add(&mut self, bench: &Bench, component: Component) -> anyhow::Result<()> {
        if self.kind == Kind::Upstream {
            let program = upstream::component(bench, component, &self.folder)?;
            self.programs.push(program);
        }
        Ok(())
    }

    pub fn pids(&self) -> Vec<u32> {
        usage::below(usage::own_pid())
    }

    pub fn cpu(&self) -> f64 {
        usage::cpu_seconds(&self.pids())
    }

    pub async fn stop(mut self, bench: &Bench) -> anyhow::Result<()> {
        // The store last: the others would complain of its loss.
        while let Some(program) = self.programs.pop() {
            program.stop(&bench.env).await?;
        }
        Ok(())
    }

    pub fn check(&mut self) -> anyhow::Result<()> {
        self.programs.iter_mut().try_for_each(Program::check)
    }
}

fn target(ca: &str, client: &Identity) -> anyhow::Result<Target> {
    Ok(Target {
        address: ADDRESS,
        tls: Arc::new(tls::client_config(ca, Some(client), &["http/1.1"])?),
        tls_h2: Arc::new(tls::client_config(ca, Some(client), &["h2"])?),
    })
}

/// How long a side may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Asks /readyz until it says yes.
async fn until_ready(bench: &Bench, target: &Target, programs: &mut [Program]) -> anyhow::Result<()> {
    let deadline = bench.env.clock.instant() + READY_WITHIN;
    loop {
        let asked = load::once(&bench.env, target, &Shot::get("/readyz", "ok")).await;
        let Err(why) = asked else { return Ok(()) };
        programs.iter_mut().try_for_each(Program::check)?;
        anyhow::ensure!(bench.env.clock.instant() < deadline, "not ready after {READY_WITHIN:?}: {why:#}");
        bench.env.clock.sleep(Duration::from_millis(2)).await;
    }
}
