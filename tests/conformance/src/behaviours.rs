//! What version 1.37 tests for conformance, and who shows it here: the suite of 1.20, a test of
//! our own, or nobody yet.

use crate::kept::{Kept, lines};
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::path::Path;

#[derive(Debug, PartialEq, Eq)]
pub struct Behaviour {
    pub codename: String,
    pub shown: Shown,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// By the spec of this name in the suite of 1.20.
    Upstream(String),
    /// By a test of ours: the file and the function in it.
    Own {
        file: String,
        test: String,
    },
    Missing,
}

/// Reads `behaviours.tsv`.
pub fn read(folder: &Path) -> Result<Vec<Behaviour>> {
    let path = folder.join("behaviours.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    lines(&text).map(|line| behaviour(&line)).collect()
}

fn behaviour(line: &str) -> Result<Behaviour> {
    let (codename, shown) = line.split_once('\t').with_context(|| format!("no tab in {line:?}"))?;
    let shown = match shown.split_once(": ") {
        None if shown == "upstream" => Shown::Upstream(codename.to_owned()),
        None if shown == "missing" => Shown::Missing,
        Some(("upstream", name)) => Shown::Upstream(name.to_owned()),
        Some(("own", place)) => {
            let (file, test) = place.split_once("::").with_context(|| format!("no FILE::TEST in {line:?}"))?;
            Shown::Own { file: file.to_owned(), test: test.to_owned() }
        }
        _ => bail!("nobody who shows it in {line:?}"),
    };
    Ok(Behaviour { codename: codename.to_owned(), shown })
}

/// The sum that is printed after a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub upstream: usize,
    pub own: usize,
    pub missing: usize,
}

/// A spec of upstream's shows its behaviour where it is kept, that is, known to pass.
pub fn sum(all: &[Behaviour], kept: &Kept) -> Sum {
    let mut sum = Sum::default();
    for behaviour in all {
        match &behaviour.shown {
            Shown::Upstream(name) if kept.contains(name) => sum.upstream += 1,
            Shown::Own { .. } => sum.own += 1,
            Shown::Upstream(_) | Shown::Missing => sum.missing += 1,
        }
    }
    sum
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sum { upstream, own, missing } = self;
        let all = upstream + own + missing;
        write!(f, "{all} behaviours: {upstream} shown by upstream's suite, {own} by our own test, {missing} missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lines_say_who_shows_it() {
        let shown = |line: &str| behaviour(line).map(|behaviour| behaviour.shown).ok();
        assert_eq!(shown("a\tupstream"), Some(Shown::Upstream("a".into())));
        assert_eq!(shown("a\tupstream: b  c"), Some(Shown::Upstream("b  c".into())));
        assert_eq!(shown("a\town: tests/x.rs::y"), Some(Shown::Own { file: "tests/x.rs".into(), test: "y".into() }));
        assert_eq!(shown("a\tmissing"), Some(Shown::Missing));
        for wrong in ["a", "a\tperhaps", "a\town: here"] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_table_is_whole_and_names_tests_that_exist() {
        let all = read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
        assert_eq!(all.len(), 462);
        assert_eq!(all.iter().map(|behaviour| &behaviour.codename).collect::<BTreeSet<_>>().len(), 462);
        for behaviour in &all {
            let Shown::Own { file, test } = &behaviour.shown else { continue };
            let text = std::fs::read_to_string(crate::root().join(file)).unwrap_or_default();
            assert!(text.contains(&format!("fn {test}()")), "{}: no {test} in {file}", behaviour.codename);
        }
    }

    #[test]
    fn only_kept_specs_count_as_shown() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("kept.txt"), "a\n")?;
        let all = ["a\tupstream", "b\tupstream", "c\town: tests/x.rs::y", "d\tmissing"];
        let all = all.into_iter().map(behaviour).collect::<Result<Vec<_>>>()?;
        let sum = sum(&all, &Kept::read(folder.path())?);
        assert_eq!(sum.to_string(), "4 behaviours: 1 shown by upstream's suite, 1 by our own test, 2 missing");
        Ok(())
    }
}
