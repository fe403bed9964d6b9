//! What can go wrong with a command, told in kubectl's words, and its exit code.

use meta::Status;
use std::fmt;

#[derive(Debug, Clone)]
pub enum Failure {
    /// Told as it stands.
    Plain(String),
    /// Told after `error: `.
    Message(String),
    /// The server refused.
    Status(Box<Status>),
    /// The server could not be reached.
    Connection { server: String, why: String },
    /// Several; each is told on its own.
    Many(Vec<Failure>),
    /// Everything was said already; only the code is left.
    Code(u8),
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn plain(text: impl Into<String>) -> Self {
        Failure::Plain(text.into())
    }

    pub fn message(text: impl Into<String>) -> Self {
        Failure::Message(text.into())
    }

    /// A wrong use of a command, with the way to its help.
    pub fn usage(path: &str, text: impl fmt::Display) -> Self {
        Failure::Plain(format!("error: {text}\nSee '{path} -h' for help and examples"))
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    pub fn status(&self) -> Option<&Status> {
        match self {
            Failure::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Says what was being done with what: `error when creating "x.yaml": …`.
    #[must_use]
    pub fn during(self, verb: &str, source: &str) -> Self {
        let context =
            if source.is_empty() { format!("error when {verb}") } else { format!("error when {verb} {source:?}") };
        match self {
            Failure::Status(mut status) => {
                status.message = format!("{context}: {}", status.message);
                Failure::Status(status)
            }
            Failure::Message(text) => Failure::Message(format!("{context}: {text}")),
            other => other,
        }
    }

    /// One failure of a list of them.
    pub fn collect(mut failures: Vec<Failure>) -> Outcome {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Failure::Many(failures)),
        }
    }

    /// As upstream tells one of several: an invalid object in one line, a message without `error: `.
    fn in_a_list(&self) -> String {
        match self {
            Failure::Message(text) => text.clone(),
            Failure::Status(status) if status.reason == "Invalid" => {
                format!("Error from server (Invalid): {}", status.message)
            }
            other => other.to_string(),
        }
    }

    pub fn code(&self) -> u8 {
        match self {
            Failure::Code(code) => *code,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Plain(text) => f.write_str(text),
            Failure::Message(text) if text.starts_with("error: ") => f.write_str(text),
            Failure::Message(text) => write!(f, "error: {text}"),
            Failure::Status(status) => f.write_str(&told(status)),
            Failure::Connection { server, why } => {
                let host = server.split("://").last().unwrap_or(server);
                if why.contains("refused") {
                    write!(
                        f,
                        "The connection to the server {host} was refused - did you specify the right host or port?"
                    )
                } else {
                    write!(f, "Unable to connect to the server: {why}")
                }
            }
            Failure::Many(failures) => {
                let lines: Vec<String> = failures.iter().map(Failure::in_a_list).collect();
                f.write_str(&lines.join("\n"))
            }
            Failure::Code(_) => Ok(()),
        }
    }
}

fn told(status: &Status) -> String {
    match status.reason.as_str() {
        "Invalid" => invalid(status),
        "Unauthorized" => format!("error: You must be logged in to the server ({})", status.message),
        "" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

/// An invalid object: what, and one line for each thing wrong with it.
fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else {
        return format!("Error from server (Invalid): {}", status.message);
    };
    let mut text = "The request is invalid".to_owned();
    if !details.kind.is_empty() || !details.name.is_empty() {
        text = format!("The {} {:?} is invalid", details.kind, details.name);
    } else if !status.message.is_empty() && details.causes.is_empty() {
        text = format!("{text}: {}", status.message);
    }
    let mut lines: Vec<String> =
        details.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    lines.dedup();
    match lines.as_slice() {
        [] => text,
        [only] => format!("{text}: {only}"),
        several => {
            let lines: Vec<String> = several.iter().map(|line| format!("* {line}")).collect();
            format!("{text}: \n{}", lines.join("\n"))
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure::Status(Box::new(status))
    }
}
