//! SIGINT and SIGTERM end a run early, but not before it has cleaned up.

use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

static TOLD: AtomicBool = AtomicBool::new(false);

/// Whether someone wants this run to end.
pub fn told() -> bool {
    TOLD.load(Ordering::Relaxed)
}

/// Takes the signals from now on. By handlers and not by a mask, which the programs that are
/// started here would inherit.
pub fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("start a runtime")?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        eprintln!("conformance: stopping");
        TOLD.store(true, Ordering::Relaxed);
    });
    Ok(())
}
