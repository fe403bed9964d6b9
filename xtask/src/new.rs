//! `cargo xtask new KIND NAME`: makes a room's first file and says which line to add where.

use anyhow::Context as _;
use std::fs;
use std::path::Path;

/// Where a kind of room lives, what its file begins with, and the table it must be named in.
struct Room {
    kind: &'static str,
    file: &'static str,
    table: &'static str,
    text: &'static str,
}

const ROOMS: &[Room] = &[
    Room {
        kind: "controller",
        file: "crates/controllers/src/{name}/mod.rs",
        table: "crates/controllers/src/lib.rs",
        text: "//! The {name} controller: what it keeps true, and what it leaves to others.\n",
    },
    Room {
        kind: "command",
        file: "crates/cli/src/commands/{name}.rs",
        table: "crates/cli/src/commands/mod.rs",
        text: "//! `kubectl {name}`: what it prints and what it changes.\n",
    },
    Room {
        kind: "admission",
        file: "crates/admission/src/{name}.rs",
        table: "crates/admission/src/lib.rs",
        text: "//! The {name} plugin: what it sets and what it refuses.\n",
    },
    Room {
        kind: "subresource",
        file: "crates/apiserver/src/subresources/{name}.rs",
        table: "crates/apiserver/src/subresources/mod.rs",
        text: "//! `{name}`: what it reads and what of the object it may change.\n",
    },
];

pub fn run(root: &Path, kind: &str, name: &str) -> anyhow::Result<()> {
    let known: Vec<&str> = ROOMS.iter().map(|room| room.kind).collect();
    let room = ROOMS.iter().find(|room| room.kind == kind);
    let room = room.with_context(|| format!("no room {kind:?}; there are: {}", known.join(", ")))?;
    let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    anyhow::ensure!(is_name && !name.is_empty(), "{name:?} is no module name");
    let file = root.join(room.file.replace("{name}", name));
    anyhow::ensure!(!file.exists(), "{} is there already", file.display());
    let folder = file.parent().context("a room has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&file, room.text.replace("{name}", name)).with_context(|| format!("cannot write {}", file.display()))?;
    println!("made {}; now add it to ALL in {}", file.display(), room.table);
    Ok(())
}
