//! `kubectl version`: the client's and the server's.

use crate::command::{Command, Done};
use crate::failure::Failure;
use crate::flags::{Args, Flag, boolean, text};
use crate::output::{line, out};
use crate::print::json::pretty;
use crate::session::{Call, Session};
use serde_json::{Value, json};

/// The API level that this client speaks.
pub const VERSION: (&str, &str, &str) = ("1", "37", "v1.37.0");

const FLAGS: &[Flag] = &[
    boolean("client", "If true, shows client version only (no server required)."),
    text("output", "", "One of 'yaml' or 'json'.").short('o'),
];

pub static COMMAND: Command = Command {
    name: "version",
    usage: "version [flags] [options]",
    short: "Print the client and server version information for the current context",
    examples: "# Print the client and server versions for the current context\nkubectl version",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let output = args.text("output");
        if !["", "json", "yaml"].contains(&output) {
            return Err(Failure::message("--output must be 'yaml' or 'json'"));
        }
        let (major, minor, version) = VERSION;
        let platform = format!("{}/{}", std::env::consts::OS, go_arch());
        let client = json!({"major": major, "minor": minor, "gitVersion": version, "platform": platform});
        let mut all = json!({"clientVersion": client});
        let server = if args.bool("client") { Ok(Value::Null) } else { session.json(Call::get("/version")).await };
        let failed = match server {
            Ok(Value::Null) => None,
            Ok(server) => {
                all["serverVersion"] = server;
                None
            }
            Err(failure) => Some(failure),
        };
        match output {
            "json" => line(&pretty(&all)),
            "yaml" => line(&wire::yaml::to_string(&all)),
            _ => {
                line(&format!("Client Version: {version}"));
                if let Some(server) = all["serverVersion"]["gitVersion"].as_str() {
                    out(&format!("Server Version: {server}\n"));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    })
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
