//! Which Events become new objects, which are counted on, which are dropped. No input or output.

use super::{Happening, ObjectRef, Severity, Style};
use std::collections::{BTreeMap, BTreeSet};

/// Objects and kinds of Events remembered; beyond that the longest unused are forgotten.
const REMEMBERED: usize = 4096;
/// An object may have this many Events at once, and then one every so many seconds.
const BURST: f64 = 25.0;
const SECONDS_PER_EVENT: f64 = 300.0;
/// Events that differ in nothing but their message are combined from this many messages on, within
/// so many seconds.
const SIMILAR: usize = 10;
const SIMILAR_SECONDS: i64 = 600;
/// A series ends after so many seconds without another Event; while it lasts, its count is written
/// this seldom.
const SERIES_SECONDS: i64 = 360;

const COMBINED: &str = "(combined from similar events): ";

/// What to do with an Event.
pub(super) enum Verdict {
    Drop,
    Write { happening: Box<Happening>, earlier: Option<Earlier> },
}

/// An Event object that says the same already.
#[derive(Debug, Clone)]
pub(super) struct Earlier {
    pub name: String,
    pub count: u32,
}

/// Everything but the message.
type Kind = (ObjectRef, Severity, String, String);

pub(super) struct Correlator {
    style: Style,
    clock: u64,
    buckets: BTreeMap<ObjectRef, Bucket>,
    similar: BTreeMap<Kind, Similar>,
    counted: BTreeMap<(Kind, String), Counted>,
}

struct Bucket {
    tokens: f64,
    at: i64,
    used: u64,
}

struct Similar {
    messages: BTreeSet<String>,
    last: i64,
    used: u64,
}

struct Counted {
    name: String,
    count: u32,
    last: i64,
    last_written: i64,
    used: u64,
}

impl Correlator {
    pub fn new(style: Style) -> Self {
        Correlator { style, clock: 0, buckets: BTreeMap::new(), similar: BTreeMap::new(), counted: BTreeMap::new() }
    }

    pub fn judge(&mut self, mut happening: Happening, now: i64) -> Verdict {
        self.clock += 1;
        if self.style == Style::Core {
            let combined = self.combine(&happening, now);
            if !self.spend(&happening.about, now) {
                return Verdict::Drop;
            }
            if combined {
                happening.message = format!("{COMBINED}{}", happening.message);
            }
        }
        match self.count(&happening, now) {
            Some(None) => Verdict::Drop,
            Some(earlier) => Verdict::Write { happening: Box::new(happening), earlier },
            None => Verdict::Write { happening: Box::new(happening), earlier: None },
        }
    }

    /// A new Event object of this name was made.
    pub fn written(&mut self, happening: &Happening, name: &str) {
        if let Some(counted) = self.counted.get_mut(&key(happening, self.style)) {
            name.clone_into(&mut counted.name);
            counted.count = 1;
        }
    }

    /// Takes a token of the object's bucket; false: it has none left.
    fn spend(&mut self, about: &ObjectRef, now: i64) -> bool {
        let object = ObjectRef { resource_version: String::new(), field_path: String::new(), ..about.clone() };
        forget(&mut self.buckets, |bucket| bucket.used);
        let bucket = self.buckets.entry(object).or_insert(Bucket { tokens: BURST, at: now, used: 0 });
        let earned = (now - bucket.at).max(0) as f64 / SECONDS_PER_EVENT;
        bucket.tokens = (bucket.tokens + earned).min(BURST);
        bucket.at = now;
        bucket.used = self.clock;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }

    /// Whether there are so many messages of this kind that they are one Event from now on.
    fn combine(&mut self, happening: &Happening, now: i64) -> bool {
        forget(&mut self.similar, |similar| similar.used);
        let fresh = Similar { messages: BTreeSet::new(), last: now, used: 0 };
        let similar = self.similar.entry(kind(happening)).or_insert(fresh);
        if now - similar.last > SIMILAR_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        similar.used = self.clock;
        if similar.messages.len() < SIMILAR {
            similar.messages.insert(happening.message.clone());
        }
        similar.messages.len() >= SIMILAR
    }

    /// None: nothing like it was written. Some(None): it was, and need not be counted yet.
    fn count(&mut self, happening: &Happening, now: i64) -> Option<Option<Earlier>> {
        forget(&mut self.counted, |counted| counted.used);
        let place = key(happening, self.style);
        let series = self.style == Style::Series;
        let standing = self.counted.get_mut(&place).filter(|counted| !counted.name.is_empty());
        if let Some(counted) = standing.filter(|counted| !series || now - counted.last <= SERIES_SECONDS) {
            counted.count += 1;
            counted.last = now;
            counted.used = self.clock;
            if series && counted.count > 2 && now - counted.last_written < SERIES_SECONDS {
                return Some(None);
            }
            counted.last_written = now;
            return Some(Some(Earlier { name: counted.name.clone(), count: counted.count }));
        }
        let fresh = Counted { name: String::new(), count: 0, last: now, last_written: now, used: self.clock };
        self.counted.insert(place, fresh);
        None
    }
}

fn kind(happening: &Happening) -> Kind {
    let about = ObjectRef { resource_version: String::new(), ..happening.about.clone() };
    (about, happening.severity, happening.reason.clone(), happening.action.clone())
}

/// Combined Events are one, whatever their message; so are those of a series.
fn key(happening: &Happening, style: Style) -> (Kind, String) {
    let message = match &happening.message {
        _ if style == Style::Series => String::new(),
        message if message.starts_with(COMBINED) => COMBINED.to_owned(),
        message => message.clone(),
    };
    (kind(happening), message)
}

/// Makes room: drops the older half, by last use, of a map that is full.
fn forget<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, used: impl Fn(&V) -> u64) {
    if map.len() < REMEMBERED {
        return;
    }
    let mut uses: Vec<u64> = map.values().map(&used).collect();
    uses.sort_unstable();
    let middle = uses[uses.len() / 2];
    map.retain(|_, value| used(value) > middle);
}
