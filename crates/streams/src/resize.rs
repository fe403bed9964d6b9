//! Changes of the terminal's size: JSON objects, one after the other.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    #[serde(rename = "Width")]
    pub width: u16,
    #[serde(rename = "Height")]
    pub height: u16,
}

impl Size {
    /// As it goes over the wire, one line.
    pub(crate) fn to_line(self) -> String {
        format!("{{\"Width\":{},\"Height\":{}}}\n", self.width, self.height)
    }
}

/// Sizes as they come; only the latest one counts, so nothing queues up.
pub struct Resizes(watch::Receiver<Option<Size>>);

impl Resizes {
    /// The next size. None: there will be no more.
    pub async fn next(&mut self) -> Option<Size> {
        loop {
            self.0.changed().await.ok()?;
            let size = *self.0.borrow_and_update();
            if size.is_some() {
                return size;
            }
        }
    }
}

/// Reads sizes out of a stream of bytes, however it is cut.
pub(crate) struct Parser {
    latest: watch::Sender<Option<Size>>,
    text: Vec<u8>,
}

/// No size is as long; more is nonsense.
const LIMIT: usize = 1024;

impl Parser {
    pub(crate) fn new() -> (Parser, Resizes) {
        let (latest, receiver) = watch::channel(None);
        (Parser { latest, text: Vec::new() }, Resizes(receiver))
    }

    /// Takes the next bytes; what is no size is thrown away.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        let mut sizes = serde_json::Deserializer::from_slice(&self.text).into_iter::<Size>();
        let mut wrong = false;
        for size in sizes.by_ref() {
            match size {
                Ok(size) => drop(self.latest.send_replace(Some(size))),
                Err(error) => {
                    wrong = !error.is_eof();
                    break;
                }
            }
        }
        let read = sizes.byte_offset();
        self.text.drain(..read.min(self.text.len()));
        if wrong || self.text.len() > LIMIT {
            self.text.clear();
        }
    }

    /// Reads `stream` to its end.
    pub(crate) async fn run(mut self, mut stream: impl AsyncRead + Unpin) {
        let mut bytes = [0; LIMIT];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            self.push(&bytes[..read]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_are_found_however_they_are_cut() {
        let (mut parser, mut resizes) = Parser::new();
        for (piece, expected) in [
            ("{\"Width\":80,\"Height\":24}\n", Some((80, 24))),
            ("{\"Width\":10", None),
            ("0,\"Height\":30}\n", Some((100, 30))),
            ("{\"Width\":1,\"Height\":1}{\"Width\":2,\"Height\":2}", Some((2, 2))),
            ("nonsense", None),
            ("{\"Width\":3,\"Height\":3}", Some((3, 3))),
        ] {
            parser.push(piece.as_bytes());
            if let Some((width, height)) = expected {
                assert_eq!(resizes.next().await, Some(Size { width, height }), "{piece}");
            }
        }
        drop(parser);
        assert_eq!(resizes.next().await, None);
    }
}
