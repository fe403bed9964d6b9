//! The language: text to tree. Knows no types and no functions; the macros are unfolded here.

pub mod ast;
mod lexer;
mod macros;
mod number;
mod parser;

pub use parser::{RESERVED, parse};

/// Something wrong with a source, and where (in bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub at: usize,
    pub message: String,
}

impl Issue {
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Issue { at, message: message.into() }
    }
}

/// Longer sources are refused, counted in characters.
pub const MAX_CHARACTERS: usize = 100_000;

/// Trees that are higher are refused: everything that walks one recurses.
pub const MAX_HEIGHT: u16 = 250;

/// Upstream's report: position, the line, and a mark below it.
pub fn render(source: &str, issues: &[Issue]) -> String {
    let mut issues: Vec<&Issue> = issues.iter().collect();
    issues.sort_by_key(|issue| issue.at);
    let shown: Vec<String> = issues.into_iter().map(|issue| render_one(source, issue)).collect();
    shown.join("\n")
}

fn render_one(source: &str, issue: &Issue) -> String {
    let mut at = issue.at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = source[..at].matches('\n').count() + 1;
    let column = source[start..at].chars().count();
    let text = source[start..].lines().next().unwrap_or_default().replace('\t', " ");
    let dots = ".".repeat(column);
    format!("ERROR: <input>:{line}:{}: {}\n | {text}\n | {dots}^", column + 1, issue.message)
}
