//! `make conformance` and `make conformance-smoke`: everything from building upstream's suite to
//! the line that sums it up. Called by the Makefile, which builds the kutter under test.
//!
//! Reads `FOCUS`, `SKIP` and `NODES` (processes of the parallel part) from the environment, and
//! `KEEP=1`: keep from now on what passes; `RESULTS`: another folder for reports and logs.
//! `conformance swap` tries upstream's scheduler in the place of ours and nothing else.
//! `conformance report` writes docs/conformance.md again from the reports of the last full run.
#![allow(clippy::disallowed_methods)]

use anyhow::{Result, ensure};
use conformance::cluster::Cluster;
use conformance::junit::{self, Outcomes};
use conformance::kept::{self, Kept};
use conformance::memory::Memory;
use conformance::report::{self, Reasons, Run};
use conformance::selection::{self, Choice, Part};
use conformance::suite::Suite;
use conformance::summary;
use conformance::upstream::Upstream;
use conformance::{behaviours, images, interrupt, root, swap};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => run(false),
        ["smoke"] => run(true),
        ["report"] => report_again(),
        ["swap"] => Upstream::ready(&root()).and_then(|upstream| swap::run(&upstream)).map(|()| true),
        _ => {
            eprintln!("usage: conformance [smoke | report | swap]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The file beside the reports that names what was tested.
const COMMIT: &str = "commit";

/// Where lists and tables stand.
fn own_folder() -> PathBuf {
    root().join("tests/conformance")
}

fn choice(is_smoke: bool) -> Result<Choice> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let processes = variable("NODES").map_or(Ok(4), |text| text.parse())?;
    let only = if is_smoke { Some(std::fs::read_to_string(own_folder().join("smoke.txt"))?) } else { None };
    let only = only.map(|text| kept::lines(&text).collect());
    Ok(Choice { focus: variable("FOCUS"), skip: variable("SKIP"), processes, only })
}

/// Where reports and logs go.
fn results() -> PathBuf {
    std::env::var_os("RESULTS").map_or_else(|| root().join("target/conformance"), PathBuf::from)
}

/// Whether everything that must pass has passed.
fn run(is_smoke: bool) -> Result<bool> {
    ensure!(std::env::var_os("KUTTER_BINARY").is_some(), "KUTTER_BINARY must name the kutter to test");
    interrupt::watch()?;
    let choice = choice(is_smoke)?;
    let upstream = Upstream::ready(&root())?;
    let parts = selection::parts(&upstream.specs()?, &choice)?;
    ensure!(!parts.is_empty(), "no spec was chosen");
    std::fs::create_dir_all(results())?;
    std::fs::write(results().join(COMMIT), report::commit(&root()))?;
    tell(&outcomes(&upstream, &parts)?, choice.is_everything())
}

/// Says again how the last full run ended: after a reason was found, or a list changed.
fn report_again() -> Result<bool> {
    let specs = Upstream::ready(&root())?.specs()?;
    tell(&summary::settle(&specs, junit::read_folder(&results().join("junit"))?), true)
}

/// Prints how it ended, and writes it down where everything was chosen.
fn tell(outcomes: &Outcomes, is_everything: bool) -> Result<bool> {
    let mut kept = Kept::read(&own_folder())?;
    let summary = summary::sum(outcomes);
    for (name, outcome) in outcomes {
        if let junit::Outcome::Failed(words) = outcome {
            println!("failed: {name}\n        {words}");
        }
    }
    let gained = kept.gained(outcomes);
    if std::env::var("KEEP").is_ok_and(|value| value == "1") {
        kept.keep(&gained)?;
    } else if !gained.is_empty() {
        println!("{} specs passed that are not kept; KEEP=1 keeps them", gained.len());
    }
    let sum = behaviours::sum(&behaviours::read(&own_folder())?, &kept);
    if is_everything {
        let commit = std::fs::read_to_string(results().join(COMMIT))?.trim().to_owned();
        let run = Run { outcomes, summary: &summary, sum: &sum, commit, machine: report::machine() };
        report::write(&root().join("docs/conformance.md"), &run, &Reasons::read(&own_folder())?)?;
    }
    let regressed = kept.regressed(outcomes);
    for (name, _) in &regressed {
        println!("must pass: {name}");
    }
    println!("{sum}\n\n{summary}");
    Ok(regressed.is_empty())
}

/// Runs all parts on one cluster.
fn outcomes(upstream: &Upstream, parts: &[Part]) -> Result<Outcomes> {
    let archives = images::archives(upstream, &root().join("target/conformance/images"))?;
    let folder = results();
    let memory = Memory::mount(&std::env::temp_dir().join(format!("kt-conformance-{}", std::process::id())))?;
    // Hosts make their folders below it from now on.
    tempfile::env::override_temp_dir(memory.path()).map_err(|given| anyhow::anyhow!("already set to {given:?}"))?;
    let cluster = Cluster::start(&archives)?;
    let suite =
        Suite { upstream, kubeconfig: cluster.kubeconfig()?, folder: folder.clone(), from: &cluster.world.outside };
    let ran = run_parts(&suite, parts);
    cluster.end(&folder)?;
    ran?;
    let chosen: Vec<String> = parts.iter().flat_map(|part| part.specs.clone()).collect();
    Ok(summary::settle(&chosen, junit::read_folder(&folder.join("junit"))?))
}

fn run_parts(suite: &Suite<'_>, parts: &[Part]) -> Result<()> {
    // Reports of an earlier run would be read as this one's.
    let reports = suite.reports();
    if reports.exists() {
        std::fs::remove_dir_all(&reports)?;
    }
    std::fs::create_dir_all(&reports)?;
    parts.iter().try_for_each(|part| suite.run(part))
}
