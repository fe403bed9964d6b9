//! Standard output and error. A reader that has gone away (`| head`) is no failure.

use std::io::Write;

pub fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        // Nobody reads any more.
        std::process::exit(0);
    }
}

pub fn out_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

pub fn line(text: &str) {
    out(&format!("{text}\n"));
}

pub fn error_line(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub fn warning(text: &str) {
    error_line(&format!("Warning: {text}"));
}
