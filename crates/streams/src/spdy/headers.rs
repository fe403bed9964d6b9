//! Header blocks: name and value pairs, compressed with a shared dictionary and with one context
//! per direction that lasts as long as the connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io;

/// A stream's headers; names are lower case.
pub type Headers = Vec<(String, String)>;

/// A header block may be this long when unpacked. Kubernetes sends three short headers.
const LIMIT: usize = 64 << 10;

/// The words of the dictionary; each stands there after its length in four bytes.
const WORDS: [&str; 65] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// What follows the words, without lengths.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
    404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut dictionary = Vec::new();
    for word in WORDS {
        put_text(&mut dictionary, word);
    }
    dictionary.extend_from_slice(TAIL.as_bytes());
    dictionary
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    // Both kinds of text are far below 4 GiB.
    block.extend_from_slice(&(text.len() as u32).to_be_bytes());
    block.extend_from_slice(text.as_bytes());
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY header block: {what}"))
}

/// Packs the header blocks of one direction.
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> io::Result<Packer> {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Packer(compress))
    }

    pub(super) fn pack(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let mut block = (headers.len() as u32).to_be_bytes().to_vec();
        for (name, value) in headers {
            put_text(&mut block, name);
            put_text(&mut block, value);
        }
        let mut packed = Vec::with_capacity(block.len() + 64);
        let before = self.0.total_in();
        loop {
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            self.0.compress_vec(&block[taken..], &mut packed, FlushCompress::Sync).map_err(io::Error::other)?;
            // Room left over means that all of it, flush mark included, is out.
            if packed.len() < packed.capacity() {
                return Ok(packed);
            }
            packed.reserve(256);
        }
    }
}

/// Unpacks the header blocks of one direction.
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub(super) fn new() -> Unpacker {
        Unpacker(Decompress::new(true))
    }

    pub(super) fn unpack(&mut self, packed: &[u8]) -> io::Result<Headers> {
        let mut block = Vec::with_capacity(1024);
        let before = self.0.total_in();
        loop {
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            match self.0.decompress_vec(&packed[taken..], &mut block, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => break,
                Ok(_) if block.len() < block.capacity() => break,
                Ok(_) if block.len() >= LIMIT => return Err(invalid("too long")),
                Ok(_) => block.reserve(block.len()),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| invalid("another dictionary"))?;
                }
                Err(_) => return Err(invalid("not compressed as SPDY says")),
            }
        }
        parse(&block)
    }
}

fn parse(mut block: &[u8]) -> io::Result<Headers> {
    let count = take_number(&mut block)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = take_text(&mut block)?.to_ascii_lowercase();
        headers.push((name, take_text(&mut block)?));
    }
    Ok(headers)
}

fn take_number(block: &mut &[u8]) -> io::Result<u32> {
    let (number, rest) = block.split_first_chunk().ok_or_else(|| invalid("cut short"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*number))
}

fn take_text(block: &mut &[u8]) -> io::Result<String> {
    let length = take_number(block)? as usize;
    let (text, rest) = block.split_at_checked(length).ok_or_else(|| invalid("cut short"))?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| invalid("not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (a + b) % 65521)
        });
        b << 16 | a
    }

    #[test]
    fn the_dictionary_is_the_one_of_the_draft() {
        assert_eq!(dictionary().len(), 1423);
        assert_eq!(adler32(&dictionary()), 0xe3c6_a7c2, "the id that every SPDY/3 header block begins with");
    }

    #[test]
    fn blocks_survive_packing_in_order_and_the_context_is_kept() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new());
        let long = "x".repeat(20_000);
        let cases = [
            vec![],
            vec![("streamtype".to_owned(), "stdin".to_owned())],
            vec![("port".to_owned(), "80".to_owned()), ("requestid".to_owned(), "0".to_owned())],
            vec![("long".to_owned(), long)],
            vec![("streamtype".to_owned(), "stdin".to_owned())],
        ];
        for headers in cases {
            let packed = packer.pack(&headers).unwrap();
            assert_eq!(unpacker.unpack(&packed).unwrap(), headers);
        }
    }

    #[test]
    fn bad_blocks_are_refused() {
        let huge = vec![("x".to_owned(), "y".repeat(LIMIT * 4))];
        let cases = [vec![], vec![1, 2, 3], Packer::new().unwrap().pack(&huge).unwrap()];
        for packed in cases {
            assert!(Unpacker::new().unpack(&packed).is_err());
        }
        let mut cut = (2u32).to_be_bytes().to_vec();
        put_text(&mut cut, "name");
        assert!(parse(&cut).is_err());
    }
}
