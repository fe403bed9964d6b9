//! YAML to JSON values.

use super::resolve::{Meaning, resolve};
use base64::Engine;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// As deep as the JSON decoder goes.
const MAX_DEPTH: usize = 128;
/// Bytes and nodes that aliases of one document may add.
const MAX_ALIASED: usize = 4 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// As Go tells it, the first line goes without its number.
    #[error("yaml: {}{why}", if *.line > 1 { format!("line {line}: ") } else { String::new() })]
    Syntax { line: usize, why: String },
    #[error("yaml: unmarshal errors:\n{}", .0.join("\n"))]
    Duplicates(Vec<String>),
    #[error("yaml: document contains excessive aliasing")]
    TooManyAliases,
    #[error("yaml: exceeded max depth of {MAX_DEPTH}")]
    TooDeep,
    #[error("json: unsupported value: {0}")]
    NotFinite(String),
    #[error("unsupported map key: {0}")]
    BadKey(String),
}

/// A document and what strict readers refuse in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Of keys given twice, the last counts.
    pub value: Value,
    /// `line 3: key "a" already set in map`
    pub duplicates: Vec<String>,
}

/// Reads the first document of a text, refusing keys given twice. An empty text is null.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    let document = parse_document(text)?;
    if document.duplicates.is_empty() {
        return Ok(document.value);
    }
    Err(YamlError::Duplicates(document.duplicates.iter().map(|line| format!("  {line}")).collect()))
}

/// Reads the first document of a text, telling keys given twice.
pub fn parse_document(text: &str) -> Result<Document, YamlError> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), aliased: 0, duplicates: Vec::new() };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(Document { value: Value::Null, duplicates: Vec::new() }),
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (event, at) => {
                let value = reader.node(event, at, 0)?;
                return Ok(Document { value, duplicates: reader.duplicates });
            }
        }
    }
}

/// Splits a stream at its `---` lines, as kubectl does before it reads any of them. Documents of
/// blanks and comments alone are left out.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_separator(line) {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    let mut ranges = starts.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>().into_iter();
    std::iter::from_fn(move || {
        let (start, end) = ranges.next()?;
        let part = &text[start..end];
        Some(match part.split_once('\n') {
            Some((first, rest)) if is_separator(first) && first.trim_end() == "---" => rest,
            None if is_separator(part) => "",
            _ => part,
        })
    })
    .filter(|part| part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')))
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Values by anchor, with what each copy adds.
    anchors: BTreeMap<usize, (Value, usize)>,
    aliased: usize,
    duplicates: Vec<String>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Marker), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, at: Marker, depth: usize) -> Result<Value, YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError::TooDeep);
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref())?, anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            _ => {
                return Err(YamlError::Syntax {
                    line: at.line(),
                    why: "did not find expected node content".to_owned(),
                });
            }
        };
        if anchor != 0 {
            let weight = weight(&value);
            self.anchors.insert(anchor, (value.clone(), weight));
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, at: Marker) -> Result<Value, YamlError> {
        let Some((value, weight)) = self.anchors.get(&anchor) else {
            // An alias inside of what it names has no value yet.
            return Err(YamlError::Syntax { line: at.line(), why: "anchor value contains itself".to_owned() });
        };
        self.aliased += weight;
        if self.aliased > MAX_ALIASED {
            return Err(YamlError::TooManyAliases);
        }
        Ok(value.clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(list)),
                (event, at) => list.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut map = Map::new();
        // What `<<` brings yields to what stands beside it.
        let mut inherited = Map::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = if merges { String::new() } else { key(self.node(event, at, depth + 1)?)? };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            if merges {
                inherit(value, &mut inherited, at)?;
            } else if map.insert(key.clone(), value).is_some() {
                self.duplicates.push(format!("line {}: key {key:?} already set in map", at.line()));
            }
        }
        for (key, value) in inherited {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }
}

fn inherit(value: Value, inherited: &mut Map<String, Value>, at: Marker) -> Result<(), YamlError> {
    let maps = match value {
        Value::Array(list) => list,
        other => vec![other],
    };
    for map in maps {
        let Value::Object(map) = map else {
            let why = "map merge requires map or sequence of maps as the value".to_owned();
            return Err(YamlError::Syntax { line: at.line(), why });
        };
        for (key, value) in map {
            inherited.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn syntax(error: &ScanError) -> YamlError {
    YamlError::Syntax { line: error.marker().line(), why: error.info().to_owned() }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, YamlError> {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core {
        Some("str") => return Ok(Value::String(text.to_owned())),
        Some("binary") => {
            let packed: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default();
            return Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        }
        _ => {}
    }
    let meaning = if style == ScalarStyle::Plain || core.is_some() { resolve(text) } else { Meaning::Text };
    meaning.into_value(text).ok_or_else(|| YamlError::NotFinite(text.to_owned()))
}

/// JSON has only text for keys.
fn key(value: Value) -> Result<String, YamlError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(YamlError::BadKey(other.to_string())),
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(list) => 32 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 32 + map.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>(),
        _ => 32,
    }
}
