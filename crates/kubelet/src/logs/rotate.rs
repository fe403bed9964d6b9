//! Rotation: a log that has grown past 10 MiB is moved aside and compressed; five files are kept.

use crate::agent::Agent;
use crate::pod::PodRef;
use container::runtime::ContainerState;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const LOOK: Duration = Duration::from_secs(10);
const LIMIT: u64 = 10 << 20;
/// With the one being written.
const FILES: usize = 5;

pub(crate) fn start(agent: &Arc<Agent>) {
    let rotator = agent.clone();
    agent.env.tasks.spawn("log rotation", async move {
        loop {
            rotator.env.clock.sleep(LOOK).await;
            rotate_all(&rotator).await;
        }
    });
}

async fn rotate_all(agent: &Agent) {
    let directories: std::collections::BTreeMap<String, PathBuf> = agent
        .view
        .sandboxes()
        .iter()
        .map(|sandbox| {
            let config = &sandbox.config;
            let pod =
                PodRef { namespace: config.namespace.clone(), name: config.name.clone(), uid: config.uid.clone() };
            (sandbox.id.clone(), agent.log_directory(&pod))
        })
        .collect();
    for status in agent.view.containers().iter().filter(|status| status.state == ContainerState::Running) {
        let Some(directory) = directories.get(&status.sandbox) else { continue };
        let path = directory.join(&status.log_path);
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LIMIT)
            && let Err(error) = rotate(agent, &path, &status.id).await
        {
            warn!(container = status.name, error, "cannot rotate the log");
        }
    }
}

async fn rotate(agent: &Agent, path: &Path, container: &str) -> Result<(), String> {
    let old = rotated(path);
    // One is about to be added to those that were rotated before.
    for surplus in old.iter().rev().skip(FILES - 2) {
        std::fs::remove_file(surplus).map_err(|error| error.to_string())?;
    }
    let is_plain = |path: &PathBuf| path.exists() && path.extension().is_none_or(|own| own != "gz");
    let plain: Vec<PathBuf> = old.into_iter().filter(is_plain).collect();
    let compressed = agent.env.tasks.spawn_blocking(move || plain.iter().try_for_each(|path| compress(path)));
    compressed.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let stamp = agent.env.clock.now().strftime("%Y%m%d-%H%M%S");
    let aside = PathBuf::from(format!("{}.{stamp}", path.display()));
    std::fs::rename(path, &aside).map_err(|error| error.to_string())?;
    match agent.runtime.reopen_log(container).await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Nothing is lost: it goes on being written where it was.
            std::fs::rename(&aside, path).map_err(|error| error.to_string())?;
            Err(error.to_string())
        }
    }
}

/// The files that rotation made, oldest first.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let Some((parent, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|own| own.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn compress(path: &Path) -> std::io::Result<()> {
    let target = PathBuf::from(format!("{}.gz", path.display()));
    let part = PathBuf::from(format!("{}.gz.tmp", path.display()));
    let mut encoder = GzEncoder::new(File::create(&part)?, Compression::default());
    std::io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    std::fs::rename(&part, &target)?;
    std::fs::remove_file(path)
}
