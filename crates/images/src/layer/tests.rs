//! Layers as tars made by hand, unpacked for real: this needs root.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{Item, tar};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

fn unpacked(items: &[Item<'_>]) -> (tempfile::TempDir, Result<(), LayerError>) {
    unpacked_within(items, LIMITS)
}

fn unpacked_within(items: &[Item<'_>], limits: Limits) -> (tempfile::TempDir, Result<(), LayerError>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("root")).unwrap();
    std::fs::create_dir(folder.path().join("outside")).unwrap();
    let root = File::open(folder.path().join("root")).unwrap();
    let result = unpack(&*tar(items), root.as_fd(), limits);
    (folder, result)
}

fn opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(path, OPAQUE_ATTRIBUTE, &mut value) == Ok(1) && value[0] == b'y'
}

#[test]
fn entries_keep_owner_mode_time_and_links() {
    let (folder, result) = unpacked(&[
        Item::Folder("etc/", 0o751),
        Item::File("./etc/passwd", b"root"),
        Item::HardLink("etc/same", "etc/passwd"),
        Item::Symlink("etc/link", "/nowhere"),
        Item::File("no/folder/entry", b"x"),
        Item::Node("null", 1, 3),
        Item::Xattr("etc/tagged", "user.colour", b"blue"),
    ]);
    result.unwrap();
    let root = folder.path().join("root");
    let about = std::fs::metadata(root.join("etc/passwd")).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777, about.mtime()), (7, 8, 0o4755, 1234));
    assert_eq!(about.ino(), std::fs::metadata(root.join("etc/same")).unwrap().ino());
    let etc = std::fs::metadata(root.join("etc")).unwrap();
    assert_eq!((etc.permissions().mode() & 0o7777, etc.mtime()), (0o751, 1234));
    assert_eq!(std::fs::read_link(root.join("etc/link")).unwrap(), Path::new("/nowhere"));
    assert_eq!(std::fs::symlink_metadata(root.join("etc/link")).unwrap().uid(), 7);
    assert_eq!(std::fs::read(root.join("no/folder/entry")).unwrap(), b"x");
    assert_eq!(std::fs::metadata(root.join("null")).unwrap().rdev(), rustix::fs::makedev(1, 3));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(root.join("etc/tagged"), "user.colour", &mut value), Ok(4));
}

#[test]
fn whiteouts_become_overlays_own() {
    let (folder, result) = unpacked(&[
        Item::Folder("a/", 0o755),
        Item::File("a/.wh.gone", b""),
        Item::File("b/.wh..wh..opq", b""),
        Item::File("b/kept", b"1"),
        Item::File(".wh..wh.plnk", b""),
        // Both orders of a thing replaced in one layer.
        Item::File(".wh.c", b""),
        Item::Folder("c/", 0o755),
        Item::Folder("d/", 0o755),
        Item::File(".wh.d", b""),
        Item::File("e", b"2"),
        Item::File(".wh.e", b""),
    ]);
    result.unwrap();
    let root = folder.path().join("root");
    let gone = std::fs::metadata(root.join("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(opaque(&root.join("b")) && opaque(&root.join("c")) && opaque(&root.join("d")) && !opaque(&root.join("a")));
    assert_eq!(std::fs::read(root.join("b/kept")).unwrap(), b"1");
    assert_eq!(std::fs::read(root.join("e")).unwrap(), b"2");
    assert!(!root.join(".wh..wh.plnk").exists());
}

#[test]
fn later_entries_replace_earlier_ones() {
    let (folder, result) = unpacked(&[
        Item::File("a/b/c", b"1"),
        Item::File("a", b"2"),
        Item::File("x", b"3"),
        Item::Folder("x/", 0o755),
        Item::File("x/y", b"4"),
        Item::HardLink("x/y", "x/y"),
    ]);
    result.unwrap();
    let root = folder.path().join("root");
    assert_eq!(std::fs::read(root.join("a")).unwrap(), b"2");
    assert_eq!(std::fs::read(root.join("x/y")).unwrap(), b"4");
}

#[test]
fn nothing_is_made_outside() {
    let cases: &[(&str, &[Item<'_>])] = &[
        ("climbing", &[Item::File("../outside/x", b"1")]),
        ("climbing inside", &[Item::File("a/../../outside/x", b"1")]),
        ("a whiteout of ..", &[Item::File("a/.wh...", b"")]),
        ("a hard link to the host", &[Item::HardLink("x", "../outside/y")]),
        ("a hard link to nothing", &[Item::HardLink("x", "nothing")]),
        ("through a link", &[Item::Symlink("l", "../outside"), Item::File("l/x", b"1")]),
        ("through a full path", &[Item::Symlink("l", "/tmp"), Item::File("l/kt-escaped", b"1")]),
        ("over a link", &[Item::Symlink("l", "../outside/x"), Item::File("l", b"1")]),
        (
            "a folder over a link",
            &[Item::Symlink("l", "../outside"), Item::Folder("l/", 0o700), Item::File("l/x", b"1")],
        ),
        ("a link's own opaque mark", &[Item::Symlink("l", "../outside"), Item::File(".wh.l", b"")]),
    ];
    for (name, items) in cases {
        // Refused or kept inside: either is right, outside nothing may change.
        let (folder, _) = unpacked(items);
        let outside = folder.path().join("outside");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{name}");
        assert!(!opaque(&outside) && std::fs::metadata(&outside).unwrap().mode() & 0o777 == 0o755, "{name}");
        assert!(!Path::new("/tmp/kt-escaped").exists(), "{name}");
    }
    for (name, items) in &cases[..5] {
        assert!(unpacked(items).1.is_err(), "{name}");
    }
}

#[test]
fn limits_hold() {
    let items = [Item::File("a", b"12345"), Item::File("b", b"12345")];
    let few = unpacked_within(&items, Limits { entries: 1, bytes: 100_000 }).1;
    assert!(matches!(few, Err(LayerError::TooManyEntries(1))), "{few:?}");
    let small = unpacked_within(&items, Limits { entries: 10, bytes: 9 }).1;
    assert!(matches!(small, Err(LayerError::TooLarge(9))), "{small:?}");
}

#[test]
fn a_layer_cut_off_is_refused() {
    let whole = tar(&[Item::File("a", &[1; 5000])]);
    let folder = tempfile::tempdir().unwrap();
    let root = File::open(folder.path()).unwrap();
    assert!(unpack(&whole[..3000], root.as_fd(), LIMITS).is_err());
}
