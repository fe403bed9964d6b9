//! Flags as kubectl takes them (Go's pflag): `--flag=value`, `--flag value`, `-f value`, `-fvalue`,
//! `-it`, flags and words in any order, `--` before words that only look like flags.
//!
//! A command declares its flags as constant tables; values are checked while parsing.

use crate::failure::Failure;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Text,
    /// Given several times or separated by commas.
    List,
    /// Given several times; commas are part of the value.
    Repeat,
    Int,
    Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    /// The value of the flag without one, where it may stand so.
    pub bare: Option<&'static str>,
    pub help: &'static str,
}

pub const fn boolean(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::Bool, default: "false", bare: Some("true"), help }
}

pub const fn text(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::Text, default, bare: None, help }
}

pub const fn list(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::List, default: "", bare: None, help }
}

pub const fn repeat(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::Repeat, default: "", bare: None, help }
}

pub const fn int(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::Int, default, bare: None, help }
}

pub const fn duration(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, kind: Kind::Duration, default, bare: None, help }
}

impl Flag {
    pub const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }

    pub const fn bare(mut self, value: &'static str) -> Flag {
        self.bare = Some(value);
        self
    }

    /// Go's view of a value, or why it is none.
    fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Bool if parse_bool(value).is_none() => {
                Err(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))
            }
            Kind::Int if value.parse::<i64>().is_err() => {
                Err(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
            }
            Kind::Duration if parse_duration(value).is_none() => Err(format!("time: invalid duration {value:?}")),
            _ => Ok(()),
        }
    }

    fn printed(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's durations (`1h2m3.5s`, `100ms`), negative ones as none at all; a bare number is seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    Some(if text.starts_with('-') { Duration::MAX } else { Duration::try_from_secs_f64(total).ok()? })
}

/// A parsed command line.
#[derive(Debug, Clone, Default)]
pub struct Args {
    /// The words that are no flags, command names left out.
    pub words: Vec<String>,
    /// How many of them stood before `--`, where it was given.
    pub before_dash: Option<usize>,
    given: Vec<(&'static str, String)>,
    specs: Vec<Flag>,
}

impl Args {
    /// Parses what follows a command's name. `path` is that name for messages: `kubectl get`.
    pub fn parse(path: &str, specs: Vec<Flag>, line: &[String]) -> Result<Self, Failure> {
        let mut args = Args { specs, ..Args::default() };
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                args.before_dash = Some(args.words.len());
                args.words.extend(rest.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                args.long(long, &mut rest).map_err(|why| usage(path, &why))?;
            } else if word.len() > 1 && word.starts_with('-') {
                args.shorthands(&word[1..], &mut rest).map_err(|why| usage(path, &why))?;
            } else {
                args.words.push(word.clone());
            }
        }
        Ok(args)
    }

    fn long<'w>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'w String>) -> Result<(), String> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let flag = self.find(|flag| flag.name == name).ok_or_else(|| format!("unknown flag: --{name}"))?;
        let value = match (value, flag.bare) {
            (Some(value), _) => value,
            (None, Some(bare)) => bare.to_owned(),
            (None, None) => rest.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?.clone(),
        };
        self.set(flag, value)
    }

    fn shorthands<'w>(&mut self, group: &str, rest: &mut impl Iterator<Item = &'w String>) -> Result<(), String> {
        let mut letters = group.chars();
        while let Some(letter) = letters.next() {
            let unknown = || format!("unknown shorthand flag: '{letter}' in -{group}");
            let flag = self.find(|flag| flag.short == Some(letter)).ok_or_else(unknown)?;
            let attached = letters.as_str();
            if let Some(value) = attached.strip_prefix('=') {
                return self.set(flag, value.to_owned());
            }
            if let Some(bare) = flag.bare {
                self.set(flag, bare.to_owned())?;
                continue;
            }
            if !attached.is_empty() {
                return self.set(flag, attached.to_owned());
            }
            let missing = || format!("flag needs an argument: '{letter}' in -{group}");
            let value = rest.next().ok_or_else(missing)?.clone();
            return self.set(flag, value);
        }
        Ok(())
    }

    fn find(&self, is: impl Fn(&Flag) -> bool) -> Option<Flag> {
        self.specs.iter().find(|flag| is(flag)).copied()
    }

    fn set(&mut self, flag: Flag, value: String) -> Result<(), String> {
        flag.check(&value).map_err(|why| format!("invalid argument {value:?} for {:?} flag: {why}", flag.printed()))?;
        self.given.push((flag.name, value));
        Ok(())
    }

    /// Sets a flag that was not given; says whether that had to be done.
    ///
    /// # Errors
    /// Why the value cannot be taken; None: there is no such flag.
    pub fn fill(&mut self, name: &str, value: &str) -> Result<(), Option<String>> {
        let flag = self.find(|flag| flag.name == name).ok_or(None)?;
        if self.has(name) {
            return Ok(());
        }
        self.set(flag, value.to_owned()).map_err(Some)
    }

    /// The same with only some of the flags.
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Args {
        let given = self.given.iter().filter(|(name, _)| keep(name)).cloned().collect();
        Args { given, ..self.clone() }
    }

    /// Whether the flag was given at all.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// All flags that were given, in their order.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The last value given, or the default.
    pub fn text(&self, name: &str) -> &str {
        let given = self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
        given.or_else(|| Some(self.specs.iter().find(|flag| flag.name == name)?.default)).unwrap_or_default()
    }

    pub fn bool(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or_default()
    }

    pub fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    pub fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).unwrap_or_default()
    }

    /// All values of a flag that may be repeated.
    pub fn list(&self, name: &str) -> Vec<String> {
        let splits = self.specs.iter().any(|flag| flag.name == name && flag.kind == Kind::List);
        let values = self.given.iter().filter(|(given, _)| *given == name).map(|(_, value)| value);
        if splits {
            values.flat_map(|value| value.split(',')).map(str::to_owned).collect()
        } else {
            values.cloned().collect()
        }
    }
}

fn usage(path: &str, why: &str) -> Failure {
    Failure::plain(format!("error: {why}\nSee '{path} --help' for usage."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 6] = [
        text("output", "", "").short('o'),
        boolean("stdin", "").short('i'),
        boolean("tty", "").short('t'),
        list("filename", "").short('f'),
        text("dry-run", "none", "").bare("unchanged"),
        int("replicas", "1", ""),
    ];

    fn parse(line: &str) -> Result<Args, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Args::parse("kubectl x", FLAGS.to_vec(), &words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn all_forms_of_flags() {
        for line in ["-o yaml a", "a -oyaml", "--output=yaml a", "a --output yaml", "-o=yaml a", "-itoyaml a"] {
            let args = parse(line).unwrap();
            assert_eq!((args.text("output"), args.words.join(" ").as_str()), ("yaml", "a"), "{line}");
        }
        let args = parse("-it p -f a,b -f c --dry-run -- ls -l").unwrap();
        assert!(args.bool("stdin") && args.bool("tty"));
        assert_eq!(args.list("filename"), ["a", "b", "c"]);
        assert_eq!((args.text("dry-run"), args.int("replicas")), ("unchanged", 1));
        assert_eq!((args.words, args.before_dash), (vec!["p".into(), "ls".into(), "-l".into()], Some(1)));
    }

    #[test]
    fn refusals_read_as_kubectl_writes_them() {
        let rows = [
            ("--foo", "unknown flag: --foo"),
            ("-Z", "unknown shorthand flag: 'Z' in -Z"),
            ("-o", "flag needs an argument: 'o' in -o"),
            ("--output", "flag needs an argument: --output"),
            (
                "--replicas=x",
                "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
        ];
        for (line, why) in rows {
            let expected = format!("error: {why}\nSee 'kubectl x --help' for usage.");
            assert_eq!(parse(line).unwrap_err(), expected, "{line}");
        }
    }

    #[test]
    fn durations() {
        let rows = [("1m30s", Some(90.0)), ("100ms", Some(0.1)), ("5", Some(5.0)), ("x", None), ("", None)];
        for (text, seconds) in rows {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs_f64), "{text}");
        }
    }
}
