//! `find-bugs`: shows that the simulator finds every bug of `tests/simulator/bugs`.
//!
//! Each patch is put on a scratch checkout of HEAD below `target/`, built there and played until a seed
//! fails. The working tree is not touched; the scratch checkout goes again in the end.

use anyhow::{Context as _, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Every bug has to be found within so many seeds.
const SEEDS: u64 = 1000;

struct Bug {
    name: String,
    patch: PathBuf,
    what: String,
    scenario: String,
}

/// Plays the bugs of these names; of none: all.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let bugs = bugs(&root.join("tests/simulator/bugs"))?;
    let chosen: Vec<&Bug> = bugs.iter().filter(|bug| names.is_empty() || names.contains(&&*bug.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such bug");
    let tree = root.join("target/bugs/tree");
    // What an earlier run that was cut short left behind.
    let _ = remove(root, &tree);
    git(root, &["worktree", "add", "--quiet", "--detach", "--force", &tree.to_string_lossy(), "HEAD"])?;
    let outcome = find_all(&tree, &chosen);
    remove(root, &tree)?;
    outcome
}

fn bugs(folder: &Path) -> anyhow::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let patch = entry?.path();
        if patch.extension().is_some_and(|extension| extension == "patch") {
            bugs.push(read(patch)?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn read(patch: PathBuf) -> anyhow::Result<Bug> {
    let text = std::fs::read_to_string(&patch).with_context(|| format!("cannot read {}", patch.display()))?;
    let line = |field: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(field)).map(|rest| rest.trim().to_owned());
        found.with_context(|| format!("{} has no line {field}", patch.display()))
    };
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Bug { name, what: line("Bug:")?, scenario: line("Scenario:")?, patch })
}

fn find_all(tree: &Path, bugs: &[&Bug]) -> anyhow::Result<()> {
    let mut missed = Vec::new();
    for bug in bugs {
        let patch = bug.patch.to_string_lossy().into_owned();
        git(tree, &["apply", &patch])?;
        let found = find(tree, bug);
        git(tree, &["apply", "--reverse", &patch])?;
        match found? {
            Some((seed, why)) => println!("| {} | {} | {} | {seed} | {why} |", bug.name, bug.what, bug.scenario),
            None => missed.push(bug.name.clone()),
        }
    }
    if missed.is_empty() { Ok(()) } else { bail!("not found within {SEEDS} seeds: {}", missed.join(", ")) }
}

/// The first seed that fails, and how.
fn find(tree: &Path, bug: &Bug) -> anyhow::Result<Option<(u64, String)>> {
    let built = play(tree).arg("--no-run").output().context("cannot run cargo")?;
    ensure!(built.status.success(), "{} does not build:\n{}", bug.name, String::from_utf8_lossy(&built.stderr));
    let mut game = play(tree);
    game.args(["every_", "--", "--nocapture"]).env("SIM_SCENARIO", &bug.scenario).env("SIM_SEEDS", SEEDS.to_string());
    let output = game.output().context("cannot run cargo")?;
    Ok(first_failure(&output))
}

fn play(tree: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--package", "simulator", "--test", "scenarios"]).current_dir(tree);
    // Not the usual target folder: cargo would take the one checkout's crates for the other's.
    cargo.args(["--target-dir", "../build", "--config", r#"profile.dev.package."*".opt-level=1"#]);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo.env_remove("SIM_SEED").env_remove("SIM_FIRST").env_remove("SIM_TRACE");
    cargo
}

/// Of `seed 12 of quota failed: why` the smallest.
fn first_failure(output: &Output) -> Option<(u64, String)> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failure = |line: &str| {
        let (_, rest) = line.split_once("seed ")?;
        let (seed, rest) = rest.split_once(" of ")?;
        let (_, why) = rest.split_once(" failed: ")?;
        Some((seed.parse().ok()?, why.to_owned()))
    };
    text.lines().filter_map(failure).min()
}

fn git(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("git").args(args).current_dir(folder).output().context("cannot run git")?;
    ensure!(output.status.success(), "git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn remove(root: &Path, tree: &Path) -> anyhow::Result<()> {
    if tree.exists() {
        git(root, &["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    }
    Ok(())
}
