//! Work on canonical bytes without parsing them: finding a field, putting the resourceVersion in.
//!
//! Stored objects carry no resourceVersion, as it is known only once they are committed; reading
//! them is a copy with it spliced in. All of this trusts that the bytes are JSON that
//! [`crate::encode`] wrote; on others it finds nothing, but does not panic.

use bytes::Bytes;

/// Where the resourceVersion goes in an object's bytes. Worth keeping beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splice {
    at: usize,
    /// Whether fields stand before and after the place, within the metadata.
    after_field: bool,
    before_field: bool,
}

const KEY: &[u8] = b"\"resourceVersion\":\"";

/// The fields that Go's `ObjectMeta` has before resourceVersion.
const BEFORE: [&[u8]; 5] = [b"name", b"generateName", b"namespace", b"selfLink", b"uid"];

/// Finds the place, following the order of the bytes themselves: that of Go's structs, or sorted,
/// as custom resources are. None where there is no metadata.
pub fn find_splice(stored: &[u8]) -> Option<Splice> {
    let sorted = stored.starts_with(b"{\"apiVersion\"");
    let mut outer = fields(stored);
    let metadata = loop {
        let (key, value_at) = outer.key()?;
        if key == b"metadata" {
            break value_at;
        }
        outer.skip_value(value_at)?;
    };
    let mut inner = Fields::open(stored, metadata);
    let mut splice = Splice { at: metadata + 1, after_field: false, before_field: false };
    while let Some((key, value_at)) = inner.key() {
        let is_before = if sorted { key < &b"resourceVersion"[..] } else { BEFORE.contains(&key) };
        if !is_before {
            splice.before_field = true;
            return Some(splice);
        }
        splice.at = inner.skip_value(value_at)?;
        splice.after_field = true;
    }
    // The metadata ends here, or the bytes are no object.
    (stored.get(splice.at) == Some(&b'}')).then_some(splice)
}

/// A copy of the bytes with the resourceVersion at its place.
pub fn splice_resource_version(stored: &[u8], revision: u64) -> Bytes {
    match find_splice(stored) {
        Some(splice) => splice.apply(stored, revision),
        None => Bytes::copy_from_slice(stored),
    }
}

impl Splice {
    /// `stored` must be the bytes that the place was found in.
    pub fn apply(self, stored: &[u8], revision: u64) -> Bytes {
        let Some((head, tail)) = stored.split_at_checked(self.at) else { return Bytes::copy_from_slice(stored) };
        let mut digits = [0; 20];
        let mut first = digits.len();
        let mut rest = revision;
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let mut out = Vec::with_capacity(stored.len() + KEY.len() + 23);
        out.extend_from_slice(head);
        if self.after_field {
            out.push(b',');
        }
        out.extend_from_slice(KEY);
        out.extend_from_slice(&digits[first..]);
        out.push(b'"');
        if self.before_field && !self.after_field {
            out.push(b',');
        }
        out.extend_from_slice(tail);
        out.into()
    }
}

/// The bytes of a field's value by its path, as `["metadata", "name"]`.
pub fn find<'a>(json: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(json, |object, key| fields(object).find(|field| field.key == key.as_bytes()).map(|field| field.value))
}

/// A text value by its path; None too where it has escapes, which names never do.
pub fn find_text<'a>(json: &'a [u8], path: &[&str]) -> Option<&'a str> {
    let inner = find(json, path)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') { None } else { std::str::from_utf8(inner).ok() }
}

/// One field of an object, as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawField<'a> {
    /// Without quotes, escapes as they stand.
    pub key: &'a [u8],
    pub value: &'a [u8],
    /// Where the value starts in the object's bytes.
    pub value_at: usize,
}

/// The fields of a compact JSON object, in their order; nothing for anything else.
pub fn fields(object: &[u8]) -> Fields<'_> {
    Fields::open(object, 0)
}

pub struct Fields<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The object that begins at `at`, wherever it ends.
    fn open(json: &'a [u8], at: usize) -> Self {
        Fields { json, at: if json.get(at) == Some(&b'{') { at + 1 } else { json.len() } }
    }

    /// The next key, and where its value begins.
    fn key(&self) -> Option<(&'a [u8], usize)> {
        if self.json.get(self.at) != Some(&b'"') {
            return None;
        }
        let end = end_of_string(self.json, self.at)?;
        (self.json.get(end) == Some(&b':')).then_some(())?;
        Some((self.json.get(self.at + 1..end - 1)?, end + 1))
    }

    /// Goes past a value and the comma after it; says where the value ended.
    fn skip_value(&mut self, value_at: usize) -> Option<usize> {
        let end = end_of_value(self.json, value_at)?;
        self.at = if self.json.get(end) == Some(&b',') { end + 1 } else { self.json.len() };
        Some(end)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = RawField<'a>;

    fn next(&mut self) -> Option<RawField<'a>> {
        let (key, value_at) = self.key()?;
        let end = self.skip_value(value_at)?;
        Some(RawField { key, value: self.json.get(value_at..end)?, value_at })
    }
}

/// The items of a compact JSON list, in their order; nothing for anything else.
pub fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = if list.first() == Some(&b'[') { 1 } else { list.len() };
    std::iter::from_fn(move || {
        let end = end_of_value(list, at)?;
        let item = list.get(at..end)?;
        at = end + 1;
        Some(item)
    })
}

/// Where the value that starts at `at` ends. Strings are skipped whole, brackets counted.
fn end_of_value(json: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut here = at;
    loop {
        match json.get(here)? {
            b'"' => {
                here = end_of_string(json, here)?;
                if depth == 0 {
                    return Some(here);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                match depth {
                    // The end of what is around a number or literal.
                    0 => return (here > at).then_some(here),
                    1 => return Some(here + 1),
                    _ => depth -= 1,
                }
            }
            b',' if depth == 0 => return (here > at).then_some(here),
            _ => {}
        }
        here += 1;
    }
}

fn end_of_string(json: &[u8], at: usize) -> Option<usize> {
    let mut here = at + 1;
    loop {
        match json.get(here)? {
            b'"' => return Some(here + 1),
            b'\\' => here += 2,
            _ => here += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_version_goes_where_go_has_it() {
        for (stored, wanted) in [
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","uid":"u","creationTimestamp":"t"},"spec":{}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","uid":"u","resourceVersion":"42","creationTimestamp":"t"},"spec":{}}"#,
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"42"}}"#,
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42"}}"#,
            ),
            (
                r#"{"metadata":{"labels":{"name":"x"}},"spec":1}"#,
                r#"{"metadata":{"resourceVersion":"42","labels":{"name":"x"}},"spec":1}"#,
            ),
            (
                r#"{"apiVersion":"e/v1","kind":"Cat","metadata":{"annotations":{"a":"}\"{"},"name":"c","uid":"u"}}"#,
                r#"{"apiVersion":"e/v1","kind":"Cat","metadata":{"annotations":{"a":"}\"{"},"name":"c","resourceVersion":"42","uid":"u"}}"#,
            ),
            (r#"{"kind":"Status"}"#, r#"{"kind":"Status"}"#),
            ("{\"metadata\":{\"name", "{\"metadata\":{\"name"),
            ("", ""),
        ] {
            assert_eq!(splice_resource_version(stored.as_bytes(), 42), wanted.as_bytes());
        }
        let long = splice_resource_version(br#"{"metadata":{}}"#, u64::MAX);
        assert_eq!(long, &br#"{"metadata":{"resourceVersion":"18446744073709551615"}}"#[..]);
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let json = br#"{"a":{"b":[1,{"c":2}],"n":-1.5e3,"t":true},"s":"x\"y","z":null}"#;
        assert_eq!(find(json, &["a", "b"]), Some(&br#"[1,{"c":2}]"#[..]));
        assert_eq!(find(json, &["a", "n"]), Some(&b"-1.5e3"[..]));
        assert_eq!(find(json, &["a", "t"]), Some(&b"true"[..]));
        assert_eq!(find(json, &["z"]), Some(&b"null"[..]));
        assert_eq!(find(json, &["a", "c"]), None);
        assert_eq!(find_text(json, &["s"]), None);
        assert_eq!(find_text(br#"{"s":"xy"}"#, &["s"]), Some("xy"));
        assert_eq!(fields(json).count(), 3);
        assert_eq!(items(br#"[1,{"c":[2,3]},"]"]"#).collect::<Vec<_>>(), [&b"1"[..], br#"{"c":[2,3]}"#, br#""]""#]);
        assert_eq!(items(b"[]").chain(items(b"{}")).count(), 0);
    }
}
