//! `make bench`: Kutter and upstream's own programs under the same load, in turn, on this machine;
//! prints ratios, and with `--quick` one line of JSON at the end.
//!
//! Everything happens on loopback in namespaces of the harness's own, and in one folder that
//! is removed at the end. Not run by `make test`, which only builds it and tests its arithmetic.

mod bench;
mod debian;
mod load;
mod machine;
mod objects;
mod process;
mod report;
mod rows;
mod served;
mod sides;
mod summary;
mod usage;

use anyhow::Context as _;
use base::Env;
use bench::{Bench, Sizes};
use report::Readings;
use rows::{ROWS, Row, Run};
use served::Served;
use sides::{Kind, Parts};
use std::path::PathBuf;
use std::process::ExitCode;
use sys::namespace::{self, Kinds};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: bench [--quick] [--rounds N] [--kutter FILE] [--only kutter|upstream] [--write FILE] [ROW…]";

struct Options {
    quick: bool,
    rounds: Option<usize>,
    kutter: Option<PathBuf>,
    sides: Vec<Kind>,
    write: Option<PathBuf>,
    rows: Vec<String>,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| start(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options =
        Options { quick: false, rounds: None, kutter: None, sides: Kind::ALL.to_vec(), write: None, rows: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--quick" => options.quick = true,
            "--rounds" => options.rounds = Some(value()?.parse().context("--rounds needs a number")?),
            "--kutter" => options.kutter = Some(PathBuf::from(value()?)),
            "--write" => options.write = Some(PathBuf::from(value()?)),
            "--only" => {
                let name = value()?;
                options.sides.retain(|kind| kind.name().eq_ignore_ascii_case(&name));
                anyhow::ensure!(!options.sides.is_empty(), "--only: {name:?} is neither kutter nor upstream");
            }
            flag if flag.starts_with('-') => anyhow::bail!("{flag} is unknown\n{USAGE}"),
            row => {
                let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                anyhow::ensure!(known.contains(&row), "there is no row {row:?}; there are: {}", known.join(", "));
                options.rows.push(row.to_owned());
            }
        }
    }
    Ok(options)
}

/// Leaves the machine's network while there is one thread, then begins.
fn start(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "must run as root: it makes namespaces of its own");
    let mut sizes = if options.quick { Sizes::quick() } else { Sizes::full() };
    sizes.rounds = options.rounds.unwrap_or(sizes.rounds);
    let bench = Bench::new(Env::real(), sizes, options.kutter.clone())?;
    if options.sides.contains(&Kind::Upstream) {
        sides::fetch(&bench)?;
    }
    namespace::leave(Kinds::NET.with(Kinds::MOUNT)).context("cannot make namespaces")?;
    sides::node::hide_run_folders()?;
    namespace::raise_loopback().context("cannot raise the loopback link")?;
    // Daemons that leave their parent come to us, so that nothing a side uses goes uncounted.
    nix::sys::prctl::set_child_subreaper(true).context("cannot adopt processes")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        tokio::select! {
            done = measure(&bench, options) => done,
            // What was started ends with us, and the folder goes.
            () = told_to_end() => anyhow::bail!("told to end"),
        }
    })
}

async fn told_to_end() {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn measure(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    let machine = machine::describe();
    eprintln!("{machine}");
    let mut readings = Readings::default();
    for round in 0..bench.sizes.rounds {
        for kind in &options.sides {
            eprintln!("round {} of {}: {}", round + 1, bench.sizes.rounds, kind.name());
            turn(bench, *kind, options, &mut readings).await;
        }
    }
    let tables = format!("{machine}\n\n{}", readings.markdown());
    println!("{tables}");
    if let Some(path) = &options.write {
        std::fs::write(path, &tables).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.quick {
        println!("{}", readings.json());
    }
    anyhow::ensure!(readings.missing.is_empty(), "{} measurements failed", readings.missing.len());
    Ok(())
}

/// One turn of one side: every row that was asked for. A row that fails is said to be missing; the
/// others go on.
async fn turn(bench: &Bench, kind: Kind, options: &Options, readings: &mut Readings) {
    let wanted = |row: &&Row| {
        if options.rows.is_empty() {
            row.in_quick || !options.quick
        } else {
            options.rows.iter().any(|name| name == row.name)
        }
    };
    let rows: Vec<&Row> = ROWS.iter().filter(wanted).collect();
    if rows.iter().any(|row| matches!(row.run, Run::Served(_)))
        && let Err(why) = served_rows(bench, kind, &rows, readings).await
    {
        missing(readings, "the API's rows", kind, &why);
    }
    for row in rows {
        let Run::Alone(run) = row.run else { continue };
        match run(bench, kind).await {
            Ok(found) => record(readings, kind, found),
            Err(why) => missing(readings, row.name, kind, &why),
        }
    }
}

async fn served_rows(bench: &Bench, kind: Kind, rows: &[&Row], readings: &mut Readings) -> anyhow::Result<()> {
    let folder = bench.folder("served-")?;
    let mut served = Served::start(bench, kind, Parts::Api, folder.path()).await?;
    for row in rows {
        let Run::Served(run) = row.run else { continue };
        match run(&mut served).await {
            Ok(found) => record(readings, kind, found),
            Err(why) => missing(readings, row.name, kind, &why),
        }
    }
    served.stop().await
}

fn record(readings: &mut Readings, kind: Kind, found: rows::Found) {
    for (key, value) in found {
        eprintln!("  {key}: {}", report::short(value));
        readings.add(key, kind, value);
    }
}

fn missing(readings: &mut Readings, row: &str, kind: Kind, why: &anyhow::Error) {
    eprintln!("  {row}: {why:#}");
    readings.missing.push((row.to_owned(), kind, format!("{why:#}")));
}
