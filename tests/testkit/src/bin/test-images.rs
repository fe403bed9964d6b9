//! Writes the archives of all test images into a folder, for trying things by hand:
//! `cargo run -p testkit --bin test-images -- DIR`.

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(testkit::images::default_folder, PathBuf::from);
    for path in testkit::images::all_in(&folder)? {
        println!("{}", path.display());
    }
    Ok(())
}
