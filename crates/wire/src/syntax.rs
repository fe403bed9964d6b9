//! What is wrong with a text that is no JSON, in the words of Go's scanner, which clients show.
//!
//! Only called once parsing has failed, or has passed over parts without a look at their depth, so it
//! favours smallness over speed.

/// Go's scanner goes no deeper.
const MAX_DEPTH: usize = 10_000;

/// The first syntax error, or None where Go's scanner would have passed the text.
pub fn error(text: &[u8]) -> Option<String> {
    Scanner { text, at: 0, open: Vec::new() }.run().err()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// The brackets that are open.
    open: Vec<u8>,
}

type Step = Result<(), String>;

impl Scanner<'_> {
    fn run(mut self) -> Step {
        loop {
            self.value()?;
            // A value is complete: close what ends here, or go on to the next one.
            loop {
                self.space();
                let Some(bracket) = self.open.last().copied() else {
                    return if self.at < self.text.len() { self.bad("after top-level value") } else { Ok(()) };
                };
                match (bracket, self.next()?) {
                    (b'{', b'}') | (b'[', b']') => self.close(),
                    (b'{', b',') => {
                        self.at += 1;
                        self.key()?;
                        break;
                    }
                    (b'[', b',') => {
                        self.at += 1;
                        break;
                    }
                    (b'{', _) => return self.bad("after object key:value pair"),
                    _ => return self.bad("after array element"),
                }
            }
        }
    }

    fn close(&mut self) {
        self.open.pop();
        self.at += 1;
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next(&self) -> Result<u8, String> {
        self.text.get(self.at).copied().ok_or_else(|| "unexpected end of JSON input".to_owned())
    }

    fn bad(&self, context: &str) -> Step {
        let quoted = match self.next()? {
            b'\'' => r"'\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            b'\\' => r"'\\'".to_owned(),
            byte @ (0..=0x1f | 0x7f..=0xa0) => match byte {
                b'\n' => r"'\n'".to_owned(),
                b'\r' => r"'\r'".to_owned(),
                b'\t' => r"'\t'".to_owned(),
                0x80.. => format!("'\\u{byte:04x}'"),
                _ => format!("'\\x{byte:02x}'"),
            },
            byte => format!("'{}'", char::from(byte)),
        };
        Err(format!("invalid character {quoted} {context}"))
    }

    /// Reads up to the end of a scalar, or opens brackets up to and with the first scalar in them.
    fn value(&mut self) -> Step {
        loop {
            self.space();
            match self.next()? {
                open @ (b'{' | b'[') => {
                    if self.open.len() == MAX_DEPTH {
                        return self.bad("exceeded max depth");
                    }
                    self.open.push(open);
                    self.at += 1;
                    self.space();
                    match (open, self.next()?) {
                        (b'{', b'}') | (b'[', b']') => {
                            self.close();
                            return Ok(());
                        }
                        (b'{', _) => self.key()?,
                        _ => {}
                    }
                }
                b'"' => return self.string(),
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => return self.literal("true"),
                b'f' => return self.literal("false"),
                b'n' => return self.literal("null"),
                _ => return self.bad("looking for beginning of value"),
            }
        }
    }

    fn key(&mut self) -> Step {
        self.space();
        if self.next()? != b'"' {
            return self.bad("looking for beginning of object key string");
        }
        self.string()?;
        self.space();
        if self.next()? != b':' {
            return self.bad("after object key");
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Step {
        for expected in word.bytes() {
            if self.next()? != expected {
                return self.bad(&format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Step {
        self.at += 1;
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    match self.next()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => self.hexadecimal()?,
                        _ => return self.bad("in string escape code"),
                    }
                }
                0..=0x1f => return self.bad("in string literal"),
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(())
    }

    fn hexadecimal(&mut self) -> Step {
        for _ in 0..4 {
            self.at += 1;
            if !self.next()?.is_ascii_hexdigit() {
                return self.bad(r"in \u hexadecimal character escape");
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Step {
        if self.next()? == b'-' {
            self.at += 1;
        }
        match self.next()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits("")?,
            _ => return self.bad("in numeric literal"),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Step {
        if !self.next()?.is_ascii_digit() {
            return self.bad(context);
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn syntax_errors_read_as_gos() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a":"#, "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{}x", "invalid character 'x' after top-level value"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("nul", "unexpected end of JSON input"),
            ("nil", "invalid character 'i' in literal null (expecting 'u')"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            (r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("-", "unexpected end of JSON input"),
            ("01", "invalid character '1' after top-level value"),
        ] {
            assert_eq!(error(text.as_bytes()).as_deref(), Some(message), "{text}");
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(error(deep(10_000).as_bytes()), None);
        assert_eq!(error(deep(10_001).as_bytes()).as_deref(), Some("invalid character '[' exceeded max depth"));
        assert_eq!(error(br#" {"a": [1, -2.5e+3, "x", {}, [], null], "b": {"c": true}} "#), None);
    }
}
