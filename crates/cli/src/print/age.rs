//! How long ago, as people say it: `5m`, `3h12m`, `2d`.

use base::Timestamp;

pub use meta::age::human;

pub fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => human(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}
