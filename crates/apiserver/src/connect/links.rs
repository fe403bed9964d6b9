//! Links in what comes back through a proxy: a page says `/style.css` and means its own server,
//! which its reader reaches below the proxy's path only.
//!
//! Rewrites the attributes of HTML that hold links, as the bytes pass by, and redirects. Never
//! holds more than one tag; what is no link, and what leads to other hosts, stays as it is.

/// A tag that is longer is passed on as it is.
const LONGEST_TAG: usize = 64 << 10;

/// Which attributes of which elements hold links.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "formaction", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const TEXTS: &[&str] = &["script", "style", "textarea", "title"];

/// Where a page comes from and where its reader finds it.
#[derive(Debug, Clone)]
pub struct Way {
    /// The proxy's path, without a slash at its end.
    pub prefix: String,
    /// By what names the page's server goes, as `host:port`.
    pub hosts: Vec<String>,
}

impl Way {
    /// A link as its reader has to follow it; None where it can stay.
    pub fn link(&self, link: &str) -> Option<String> {
        let path = match link.split_once("//") {
            Some(("" | "http:" | "https:", rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                if !self.hosts.iter().any(|host| *host == rest[..end]) {
                    return None;
                }
                &rest[end..]
            }
            _ => link,
        };
        if !path.starts_with('/') || (path.starts_with(&self.prefix) && path.len() == link.len()) {
            return None;
        }
        if path.starts_with(&self.prefix) { Some(path.to_owned()) } else { Some(format!("{}{path}", self.prefix)) }
    }
}

/// Rewrites a page that comes in pieces.
pub struct Page {
    way: Way,
    /// The start of a tag that has not ended yet.
    held: Vec<u8>,
    /// The element whose text goes by.
    text_of: Option<&'static str>,
}

impl Page {
    pub fn new(way: Way) -> Self {
        Page { way, held: Vec::new(), text_of: None }
    }

    /// Takes the next piece and gives what is complete.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(piece);
        let mut output = Vec::with_capacity(input.len() + 64);
        let mut rest = input.as_slice();
        while let Some(start) = rest.iter().position(|&byte| byte == b'<') {
            output.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            match self.take(rest, &mut output) {
                Some(length) => rest = &rest[length..],
                None if rest.len() > LONGEST_TAG => break,
                None => {
                    self.held = rest.to_vec();
                    return output;
                }
            }
        }
        output.extend_from_slice(rest);
        output
    }

    /// What was held back when the page ended.
    pub fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Handles what starts with `<` and gives its length; None where its end is not here yet.
    fn take(&mut self, rest: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        if let Some(element) = self.text_of {
            let end = rest.get(..element.len() + 2)?;
            let ends = end.starts_with(b"</") && end[2..].eq_ignore_ascii_case(element.as_bytes());
            if !ends {
                output.push(b'<');
                return Some(1);
            }
            self.text_of = None;
        }
        if rest.len() < 4 && b"<!--".starts_with(rest) {
            return None;
        }
        if rest.starts_with(b"<!--") {
            let length = rest.windows(3).position(|window| window == b"-->")? + 3;
            output.extend_from_slice(&rest[..length]);
            return Some(length);
        }
        let length = tag_end(rest)?;
        let Ok(tag) = std::str::from_utf8(&rest[..length]) else {
            output.extend_from_slice(&rest[..length]);
            return Some(length);
        };
        let name: String = tag[1..].chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        self.text_of = TEXTS.iter().find(|text| **text == name && !tag.ends_with("/>")).copied();
        match LINKS.iter().find(|(element, _)| *element == name) {
            Some((_, attributes)) => output.extend_from_slice(self.tag(tag, name.len() + 1, attributes).as_bytes()),
            None => output.extend_from_slice(&rest[..length]),
        }
        Some(length)
    }

    /// A tag with its links rewritten; `at` is where its attributes begin.
    fn tag(&self, tag: &str, at: usize, attributes: &[&str]) -> String {
        let mut output = tag[..at].to_owned();
        let mut rest = &tag[at..];
        while let Some(equals) = rest.find('=') {
            let name =
                rest[..equals].trim_end().rsplit(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
            let is_link = attributes.iter().any(|attribute| name.eq_ignore_ascii_case(attribute));
            let after = &rest[equals + 1..];
            let value = after.trim_start();
            let blanks = after.len() - value.len();
            let (open, length) = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => (1, value[1..].find(quote).unwrap_or(value.len() - 1)),
                _ => (0, value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len())),
            };
            let link = &value[open..open + length];
            output.push_str(&rest[..equals + 1 + blanks + open]);
            let rewritten = if is_link { self.way.link(link) } else { None };
            output.push_str(rewritten.as_deref().unwrap_or(link));
            rest = &value[open + length..];
            if open == 1 && !rest.is_empty() {
                output.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        output.push_str(rest);
        output
    }
}

/// Behind the `>` that is in no quotes.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way { prefix: "/p/proxy".to_owned(), hosts: vec!["10.0.0.1:80".to_owned()] }
    }

    #[test]
    fn links_to_the_own_server_lead_through_the_proxy() {
        let cases = [
            ("/a", Some("/p/proxy/a")),
            ("/p/proxy/a", None),
            ("http://10.0.0.1:80/a?b", Some("/p/proxy/a?b")),
            ("//10.0.0.1:80/p/proxy/a", Some("/p/proxy/a")),
            ("http://elsewhere/a", None),
            ("//elsewhere/a", None),
            ("a/b", None),
            ("mailto:me", None),
            ("#top", None),
            ("", None),
        ];
        for (link, expected) in cases {
            assert_eq!(way().link(link).as_deref(), expected, "{link}");
        }
    }

    const PAGES: &[(&str, &str)] = &[
        (r#"<a href="/rewriteme">test</a>"#, r#"<a href="/p/proxy/rewriteme">test</a>"#),
        ("<IMG alt='/x' SRC = '/y.png'/>", "<IMG alt='/x' SRC = '/p/proxy/y.png'/>"),
        ("<a class=b href=/c>d</a>", "<a class=b href=/p/proxy/c>d</a>"),
        (r#"<a title="x > y" href="/c">"#, r#"<a title="x > y" href="/p/proxy/c">"#),
        (r#"<p title="/c">1 < 2 <b>"#, r#"<p title="/c">1 < 2 <b>"#),
        (r#"<!-- <a href="/c"> --><a href="c">"#, r#"<!-- <a href="/c"> --><a href="c">"#),
        (
            r#"<script src="/a.js">x = '<a href="/c">'</script><a href="/d">"#,
            r#"<script src="/p/proxy/a.js">x = '<a href="/c">'</script><a href="/p/proxy/d">"#,
        ),
        (r#"text, then <a href="/never ends"#, r#"text, then <a href="/never ends"#),
        ("<", "<"),
    ];

    #[test]
    fn pages_are_the_same_however_they_are_cut() {
        for (page, expected) in PAGES {
            for size in [1, 2, 3, 7, page.len()] {
                let mut rewriting = Page::new(way());
                let mut output: Vec<u8> =
                    page.as_bytes().chunks(size).flat_map(|piece| rewriting.push(piece)).collect();
                output.extend(rewriting.end());
                assert_eq!(String::from_utf8_lossy(&output), *expected, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_never_ends_is_not_held_for_ever() {
        let mut page = Page::new(way());
        assert_eq!(page.push(&[b'<'; LONGEST_TAG]).len(), 0);
        assert!(page.push(b"<<").len() > LONGEST_TAG);
        assert_eq!(page.end().len(), 0);
    }
}
