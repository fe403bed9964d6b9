//! The bugs that `cargo xtask find-bugs` puts into a scratch checkout still fit the code, and the table
//! tells of each.

use std::path::Path;
use std::process::Command;

#[test]
fn every_seeded_bug_still_applies() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(here.join("bugs/README.md")).unwrap();
    let mut bugs = 0;
    for entry in std::fs::read_dir(here.join("bugs")).unwrap() {
        let patch = entry.unwrap().path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        bugs += 1;
        // The checkout may be somebody else's; it is only read.
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "apply", "--check"]).arg(&patch).current_dir(here.join("../.."));
        let output = git.output().expect("git has to be installed");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} no longer applies: {why}", patch.display());
        let name = patch.file_stem().unwrap().to_string_lossy();
        assert!(table.contains(&format!("| {name} |")), "the table does not tell of {name}");
    }
    assert!(bugs >= 10, "{bugs} bugs");
}
