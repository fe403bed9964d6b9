//! The keys that leave a container's terminal without ending what runs in it. They are held back until
//! it is clear that they are not the sequence. Called by [`crate::terminal`] for what is typed.

/// A sequence of keys, and how much of it was typed.
#[derive(Default)]
pub struct DetachKeys {
    keys: Vec<u8>,
    held: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q` or `a,b`; empty: there is no such sequence.
    ///
    /// # Errors
    /// The key that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = text.split(',').filter(|_| !text.is_empty()).map(key).collect::<Result<_, _>>()?;
        Ok(DetachKeys { keys, held: 0 })
    }

    /// What of the typed is to be passed on, and whether the sequence is complete.
    pub fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len() + self.held);
        for &byte in typed {
            // What was held may begin the sequence anew further on: `p p q` holds a `p q`.
            while self.held > 0 && self.keys[self.held] != byte {
                let held = &self.keys[..self.held];
                let still = (0..self.held).rev().find(|&length| held.ends_with(&held[..length])).unwrap_or(0);
                passed.extend_from_slice(&self.keys[..self.held - still]);
                self.held = still;
            }
            if self.keys.get(self.held) != Some(&byte) {
                passed.push(byte);
                continue;
            }
            self.held += 1;
            if self.held == self.keys.len() {
                self.held = 0;
                return (passed, true);
            }
        }
        (passed, false)
    }
}

/// One letter, or what a terminal sends for `ctrl-` and a letter or one of `@[\]^_`.
fn key(text: &str) -> Result<u8, String> {
    let unknown = || format!("Unknown character: '{text}'");
    match (text.strip_prefix("ctrl-").unwrap_or_default().as_bytes(), text.as_bytes()) {
        ([letter @ b'a'..=b'z'], _) => Ok(letter - b'a' + 1),
        ([sign @ (b'@' | b'['..=b'_')], _) => Ok(sign - b'@'),
        (_, [one]) if one.is_ascii_graphic() => Ok(*one),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_told_from_what_is_typed() {
        // Keys, what is typed (`|`: it comes in parts), what of it is passed on, whether it detaches.
        let rows = [
            ("ctrl-p,ctrl-q", "ls\n\x10\x11", "ls\n", true),
            ("ctrl-p,ctrl-q", "\x10|\x11rest", "", true),
            ("ctrl-p,ctrl-q", "\x10|a\x11", "\x10a\x11", false),
            ("ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true),
            ("ctrl-p,ctrl-q", "\x10", "", false),
            ("a,a,b", "aaab", "a", true),
            ("a,b,a,c", "ababac", "ab", true),
            ("ctrl-],x", "\x1dy\x1dx", "\x1dy", true),
            ("", "\x10\x11", "\x10\x11", false),
        ];
        for (keys, typed, expected, detaches) in rows {
            let mut keys = DetachKeys::parse(keys).unwrap();
            let (mut passed, mut gone) = (Vec::new(), false);
            for part in typed.split('|') {
                let (more, is_over) = keys.pass(part.as_bytes());
                passed.extend(more);
                gone |= is_over;
            }
            assert_eq!((passed.as_slice(), gone), (expected.as_bytes(), detaches), "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["ctrl-", "ctrl-1", "ab", "a,,b", "ä"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
    }
}
