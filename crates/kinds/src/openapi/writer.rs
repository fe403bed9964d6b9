//! Writes JSON piece by piece: documents of megabytes need no tree.

use wire::encode::{write_any, write_string};

#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
    /// Whether a comma is due before the next member or item.
    comma: bool,
}

impl Writer {
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.between(b'{', b'}', fill);
    }

    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.between(b'[', b']', |out| {
            for item in items {
                out.separate();
                write(out, item);
                out.comma = true;
            }
        });
    }

    pub fn member(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.separate();
        write_string(&mut self.out, key);
        self.out.push(b':');
        write(self);
        self.comma = true;
    }

    pub fn text(&mut self, key: &str, text: &str) {
        self.member(key, |out| out.string(text));
    }

    pub fn flag(&mut self, key: &str, on: bool) {
        self.value(key, &on.into());
    }

    pub fn value(&mut self, key: &str, value: &serde_json::Value) {
        self.member(key, |out| write_any(&mut out.out, value));
    }

    pub fn string(&mut self, text: &str) {
        write_string(&mut self.out, text);
    }

    fn between(&mut self, open: u8, close: u8, fill: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.comma = false;
        fill(self);
        self.out.push(close);
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = false;
    }
}
