//! One line of a log in CRI format.

#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 with nanoseconds, as written.
    pub time: &'a [u8],
    pub stream: &'a [u8],
    /// The text goes on in the next line.
    pub partial: bool,
    pub text: &'a [u8],
}

/// None: not a log line, or one that is still being written.
pub fn parse(raw: &[u8]) -> Option<Line<'_>> {
    let raw = raw.strip_suffix(b"\n")?;
    let mut parts = raw.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
    let text = parts.next().unwrap_or_default();
    let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
    Some(Line { time, stream, partial, text })
}

impl Line<'_> {
    pub fn timestamp(&self) -> Option<base::Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}
