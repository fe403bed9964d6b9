//! Reading logs as users ask for them.

use super::*;
use base::Env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Flag(Arc<AtomicBool>);

impl Source for Flag {
    fn is_running(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const LOG: &str = "2026-01-01T00:00:01.000000001Z stdout F one\n\
    2026-01-01T00:00:02.000000001Z stderr F two\n\
    2026-01-01T00:00:03.000000001Z stdout P thr\n\
    2026-01-01T00:00:03.000000002Z stdout F ee\n\
    2026-01-01T00:00:04.000000001Z stdout F \n\
    2026-01-01T00:00:05.000000001Z stdout F five\n";

async fn read(query: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    std::fs::write(&path, LOG).unwrap();
    let query: Vec<(String, String)> =
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let now = "2026-01-01T00:00:06Z".parse().unwrap();
    let options = LogOptions::parse(&query, now).unwrap();
    let mut reader = Reader::open(&Env::real(), path, options, Flag(Arc::default())).unwrap();
    let mut text = Vec::new();
    while let Some(piece) = reader.next().await {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn options_choose_what_is_read() {
    for (query, expected) in [
        (&[][..], "one\ntwo\nthree\n\nfive\n"),
        (&[("tailLines", "0")], ""),
        (&[("tailLines", "1")], "five\n"),
        (&[("tailLines", "3")], "three\n\nfive\n"),
        (&[("tailLines", "99")], "one\ntwo\nthree\n\nfive\n"),
        (&[("sinceTime", "2026-01-01T00:00:03Z")], "three\n\nfive\n"),
        (&[("sinceSeconds", "2")], "\nfive\n"),
        (&[("limitBytes", "6")], "one\ntw"),
        (&[("stream", "Stderr")], "two\n"),
        (&[("timestamps", "true"), ("tailLines", "1")], "2026-01-01T00:00:05.000000001Z five\n"),
        (&[("timestamps", "true"), ("tailLines", "3"), ("limitBytes", "37")], "2026-01-01T00:00:03.000000001Z three\n"),
    ] {
        assert_eq!(read(query).await, expected, "{query:?}");
    }
}

#[test]
fn bad_values_are_refused() {
    let now = base::Timestamp::UNIX_EPOCH;
    for (name, value) in [("tailLines", "-1"), ("sinceTime", "yesterday"), ("stream", "Both"), ("limitBytes", "x")] {
        assert!(LogOptions::parse(&[(name.to_owned(), value.to_owned())], now).is_err(), "{name}={value}");
    }
}

#[tokio::test]
async fn following_goes_on_across_a_rotation_and_ends_with_the_container() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    std::fs::write(&path, LOG).unwrap();
    let running = Arc::new(AtomicBool::new(true));
    let options = LogOptions { follow: true, tail_lines: Some(1), ..LogOptions::default() };
    let mut reader = Reader::open(&Env::real(), path.clone(), options, Flag(running.clone())).unwrap();
    assert_eq!(reader.next().await.unwrap(), "five\n");
    std::fs::rename(&path, directory.path().join("0.log.1")).unwrap();
    std::fs::write(&path, "2026-01-01T00:00:07Z stdout F seven\n").unwrap();
    assert_eq!(reader.next().await.unwrap(), "seven\n");
    running.store(false, Ordering::Relaxed);
    assert_eq!(reader.next().await, None);
}

#[test]
fn the_tail_for_messages_is_plain_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    std::fs::write(&path, LOG).unwrap();
    assert_eq!(tail(&path, 2, 1000), "\nfive\n");
    assert_eq!(tail(&path, 80, 5), "five\n");
    remove(&path);
    assert!(!path.exists());
    assert_eq!(tail(&path, 2, 1000), "");
}
