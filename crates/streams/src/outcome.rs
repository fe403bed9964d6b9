//! How a remote command ended, and the Status object that says so on the error stream.

use serde_json::{Value, json};

/// How a remote command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With code 0, or, of an attach, however.
    Success,
    /// With another code; of a signal, 128 and its number.
    ExitCode(i32),
    /// It could not be run.
    Error(String),
}

impl Outcome {
    /// The Status as the protocols from v4.channel.k8s.io on send it.
    pub fn to_status(&self) -> String {
        let status = match self {
            Outcome::Success => json!({"metadata": {}, "status": "Success"}),
            Outcome::ExitCode(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Outcome::Error(cause) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "InternalError",
                "details": {"causes": [{"message": cause}]},
                "code": 500,
            }),
        };
        status.to_string()
    }

    /// The plain text that older protocols send; empty: nothing to report.
    pub fn message(&self) -> String {
        match self {
            Outcome::Success => String::new(),
            Outcome::ExitCode(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Outcome::Error(cause) => format!("Internal error occurred: {cause}"),
        }
    }

    /// Reads what came on the error stream.
    pub fn from_status(status: &[u8]) -> Outcome {
        let Ok(status) = serde_json::from_slice::<Value>(status) else {
            return Outcome::Error(format!("error stream protocol error: {}", String::from_utf8_lossy(status)));
        };
        if status["status"] == "Success" {
            return Outcome::Success;
        }
        let causes = status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let code =
            causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
        match code.and_then(|code| code.parse().ok()) {
            Some(code) if status["reason"] == "NonZeroExitCode" => Outcome::ExitCode(code),
            _ => Outcome::Error(
                status["message"].as_str().unwrap_or("error stream protocol error: unknown error").into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_they_were_meant() {
        for outcome in [Outcome::Success, Outcome::ExitCode(7), Outcome::ExitCode(-1)] {
            assert_eq!(Outcome::from_status(outcome.to_status().as_bytes()), outcome);
        }
        let cases = [
            (Outcome::Error("no such file".into()).to_status(), "Internal error occurred: no such file"),
            ("nonsense".into(), "error stream protocol error: nonsense"),
            ("{}".into(), "error stream protocol error: unknown error"),
        ];
        for (status, expected) in cases {
            assert_eq!(Outcome::from_status(status.as_bytes()), Outcome::Error(expected.into()));
        }
    }
}
