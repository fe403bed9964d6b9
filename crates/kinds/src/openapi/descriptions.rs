//! What upstream says about each type and field, gathered at build time (see `build.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;

/// All descriptions, by model and field. Borrowed from the binary; built for one document and
/// dropped with it.
pub struct Descriptions {
    lines: Vec<&'static str>,
    /// Where each model's lines begin.
    models: BTreeMap<&'static str, usize>,
}

impl Descriptions {
    pub fn load() -> Self {
        let lines: Vec<&'static str> = include_str!(concat!(env!("OUT_DIR"), "/descriptions.txt")).lines().collect();
        let heads = lines.iter().enumerate().filter_map(|(at, line)| Some((line.strip_prefix('=')?, at + 1)));
        let models = heads.collect();
        Descriptions { lines, models }
    }

    /// Of a field, or of the model itself where the field is empty.
    pub fn of(&self, model: &str, field: &str) -> Option<Cow<'static, str>> {
        let start = *self.models.get(model)?;
        let own = self.lines[start..].iter().take_while(|line| !line.starts_with('='));
        let (_, text) = own.filter_map(|line| line.split_once('\t')).find(|(name, _)| *name == field)?;
        let text = match text.strip_prefix('^').and_then(|number| number.parse::<usize>().ok()) {
            Some(line) => self.lines.get(line)?.split_once('\t')?.1,
            None => text,
        };
        Some(unescape(text))
    }
}

fn unescape(text: &'static str) -> Cow<'static, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}
