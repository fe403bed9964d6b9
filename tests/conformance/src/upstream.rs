//! What `tools/upstream` fetched and built: programs, source tree, and what the suite says of itself.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Upstream {
    pub bin: PathBuf,
    pub source: PathBuf,
}

impl Upstream {
    /// Builds what is missing.
    pub fn ready(root: &Path) -> Result<Self> {
        let tool = root.join("tools/upstream");
        let built = Command::new(&tool).status().with_context(|| format!("run {}", tool.display()))?;
        ensure!(built.success(), "{} failed", tool.display());
        Ok(Upstream { bin: answer(&tool, "--where")?, source: answer(&tool, "--source")? })
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The names of all conformance specs, as the suite reports them.
    pub fn specs(&self) -> Result<Vec<String>> {
        let path = self.source.join("test/conformance/testdata/conformance.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        read_specs(&text).with_context(|| format!("read {}", path.display()))
    }

    /// The images that the suite may ask for.
    pub fn images(&self) -> Result<Vec<String>> {
        let output = Command::new(self.program("e2e.test")).arg("--list-images").output().context("run e2e.test")?;
        ensure!(output.status.success(), "e2e.test --list-images ended with {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

fn answer(tool: &Path, question: &str) -> Result<PathBuf> {
    let output = Command::new(tool).arg(question).output()?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn read_specs(text: &str) -> Result<Vec<String>> {
    let entries: Vec<serde_json::Value> = serde_yaml_ng::from_str(text)?;
    let names = entries.iter().filter_map(|entry| entry["codename"].as_str().map(str::to_owned));
    let names: Vec<String> = names.collect();
    ensure!(!names.is_empty(), "no codename in it");
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_where_yaml_folds_them() {
        let text = "- testname: A\n  codename: '[sig-a] does\n    this  [Conformance]'\n- codename: b\n";
        assert_eq!(read_specs(text).unwrap_or_default(), ["[sig-a] does this  [Conformance]", "b"]);
        assert!(read_specs("[]").is_err());
    }
}
