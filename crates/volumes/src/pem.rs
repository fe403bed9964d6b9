//! PEM, as much of it as trust bundles and certificate chains need: blocks in, clean blocks out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// Characters to a line.
const WIDTH: usize = 64;

/// The content of every block, whatever stands between them and in their headers.
pub(crate) fn blocks(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with(BEGIN) {
            inside = Some(String::new());
        } else if line.starts_with(END) {
            found.extend(inside.take().and_then(|body| STANDARD.decode(body).ok()));
        } else if let Some(body) = inside.as_mut().filter(|_| !line.contains(':')) {
            body.push_str(line);
        }
    }
    found
}

pub(crate) fn encode(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut text = format!("{BEGIN}{label}-----\n");
    for line in body.as_bytes().chunks(WIDTH) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(END);
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_dropped() {
        let (first, second) = (vec![7; 100], b"x".to_vec());
        let text = format!("words\n{}between\n{}", encode("CERTIFICATE", &first), encode("CERTIFICATE", &second));
        assert_eq!(blocks(&text), [first.clone(), second]);
        let with_header = encode("A", &first).replace("-----BEGIN A-----\n", "-----BEGIN A-----\nProc-Type: 4\n\n");
        assert_eq!(blocks(&with_header), [first]);
        assert!(encode("A", &[7; 100]).lines().all(|line| line.len() <= WIDTH));
        assert_eq!(blocks("-----BEGIN A-----\n%%%\n-----END A-----\n"), Vec::<Vec<u8>>::new());
    }
}
