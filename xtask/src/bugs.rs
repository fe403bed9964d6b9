//! `find-bugs`: shows that the simulator finds every bug of `tests/simulator/bugs`.
//!
//! Each patch is put on a scratch checkout of HEAD below `target/`, built there and played until a seed
//! fails. The working tree is not touched; the scratch checkout and what was built of it go again in the
//! end, and what is left is a table.

use anyhow::{Context as _, ensure};
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

/// What became of a bug.
enum Fate {
    /// By this seed first, and this is what was noticed.
    Found(u64, String),
    Missed,
    /// It could not be played.
    Broken(anyhow::Error),
}

/// Plays the bugs of these names; of none: all.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let bugs = bugs(&root.join("tests/simulator/bugs"))?;
    let chosen: Vec<&Bug> = bugs.iter().filter(|bug| names.is_empty() || names.contains(&&*bug.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such bug");
    let scratch = root.join("target/bugs");
    let tree = scratch.join("tree");
    // Of an earlier run that was cut short; what it had built is of use.
    remove(root, &tree)?;
    git(root, &["worktree", "add", "--quiet", "--detach", &tree.to_string_lossy(), "HEAD"])?;
    let fates: Vec<(&Bug, Fate)> = chosen.into_iter().map(|bug| (bug, play(&tree, bug))).collect();
    remove(root, &scratch)?;
    tell(&fates)
}

/// Prints the table of the bugs' README.
fn tell(fates: &[(&Bug, Fate)]) -> anyhow::Result<()> {
    println!("| name | the bug | scenario | seed | what was noticed |");
    println!("| --- | --- | --- | --- | --- |");
    let mut not_found = Vec::new();
    for (Bug { name, what, scenario, .. }, fate) in fates {
        let (seed, noticed) = match fate {
            Fate::Found(seed, noticed) => (seed.to_string(), noticed.clone()),
            Fate::Missed => ("-".to_owned(), format!("nothing within {SEEDS} seeds")),
            Fate::Broken(error) => ("-".to_owned(), format!("it could not be played: {error:#}")),
        };
        if !matches!(fate, Fate::Found(..)) {
            not_found.push(name.as_str());
        }
        println!("| {name} | {what} | {scenario} | {seed} | {noticed} |");
    }
    ensure!(not_found.is_empty(), "not found: {}", not_found.join(", "));
    Ok(())
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

/// Puts a bug on the scratch checkout, plays it there and takes it off again.
fn play(tree: &Path, bug: &Bug) -> Fate {
    eprintln!("{}: {}", bug.name, bug.what);
    let fate = match apply(tree, bug).and_then(|()| find(tree, bug)) {
        Ok(Some((seed, noticed))) => Fate::Found(seed, noticed),
        Ok(None) => Fate::Missed,
        Err(error) => Fate::Broken(error),
    };
    // Cargo tells by their times which files changed, so only those that did are written.
    match git(tree, &["checkout", "--quiet", "--", "."]) {
        Ok(()) => fate,
        Err(error) => Fate::Broken(error),
    }
}

fn apply(tree: &Path, bug: &Bug) -> anyhow::Result<()> {
    git(tree, &["apply", &bug.patch.to_string_lossy()])
}

/// The first seed that fails, and how.
fn find(tree: &Path, bug: &Bug) -> anyhow::Result<Option<(u64, String)>> {
    let built = cargo(tree).arg("--no-run").output().context("cannot run cargo")?;
    ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    let mut game = cargo(tree);
    game.args(["every_", "--", "--nocapture"]).env("SIM_SCENARIO", &bug.scenario);
    game.env("SIM_SEEDS", SEEDS.to_string()).env("SIM_ENOUGH", "1");
    let output = game.output().context("cannot run cargo")?;
    let found = first_failure(&output);
    let ended_well = output.status.success() || found.is_some();
    ensure!(ended_well, "the game broke off:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(found)
}

fn cargo(tree: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--package", "simulator", "--test", "scenarios"]).current_dir(tree);
    // Not the usual target folder: cargo would take the one checkout's crates for the other's.
    cargo.args(["--target-dir", "../build", "--config", r#"profile.dev.package."*".opt-level=1"#]);
    // All of this goes again, so it is to be small; one crate after the other changes by a line.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "1");
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

/// A scratch folder goes, and git forgets the checkout in it.
fn remove(root: &Path, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    git(root, &["worktree", "prune"])
}
