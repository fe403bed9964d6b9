//! The program in the project's own test image: a server that says who it is and whom it saw, and
//! workloads that exit, eat memory or burn CPU when asked to.
//!
//! It stands alone in a container, so it uses threads and the system's clock as it likes.
#![allow(clippy::disallowed_methods)]

mod eaters;
mod echo;
mod http;
mod signals;

use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
usage: testserver [serve] [--http PORT]... [--tcp PORT]... [--udp PORT]... [--ready-after SECONDS] [--greeting TEXT]
       testserver exit CODE [SECONDS]    ends with CODE, after SECONDS
       testserver memory MIB             touches MIB mebibytes, then sleeps
       testserver cpu [THREADS]          keeps THREADS threads busy
       testserver signals                prints each signal; ends at SIGTERM with 0

serve answers on --http (8080 when no port is given at all):
  /            hostname, path, client and headers     /hostname    the hostname alone
  /echo        the request's body                     /env         the environment
  /healthz     200; 500 once /unhealthy was asked     /ready       503 until --ready-after
  /status/N    status N                               /delay/MS    after MS milliseconds
  /exit/N      ends the process with code N           /memory/MIB  touches and keeps MIB mebibytes
  /cpu/S       burns one CPU for S seconds
--tcp and --udp send back what they get. SIGTERM and SIGINT end it with 0.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("testserver: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<u8, String> {
    match arguments {
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(0)
        }
        ["exit", code] => number(code),
        ["exit", code, seconds] => {
            std::thread::sleep(Duration::from_secs(number(seconds)?));
            number(code)
        }
        ["memory", mebibytes] => {
            let _kept = eaters::memory(number(mebibytes)?);
            signals::wait_for_end()
        }
        ["cpu"] => {
            eaters::cpu(1, None);
            signals::wait_for_end()
        }
        ["cpu", threads] => {
            eaters::cpu(number(threads)?, None);
            signals::wait_for_end()
        }
        ["signals"] => signals::print_all(),
        ["serve", rest @ ..] => serve(rest),
        rest => serve(rest),
    }
}

fn serve(arguments: &[&str]) -> Result<u8, String> {
    // Before any thread is made, so that all have them blocked.
    signals::block().map_err(|error| format!("block signals: {error}"))?;
    let mut options = http::Options::new();
    let (mut web, mut tcp, mut udp) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = arguments;
    while let [flag, value, after @ ..] = rest {
        match *flag {
            "--http" => web.push(number(value)?),
            "--tcp" => tcp.push(number(value)?),
            "--udp" => udp.push(number(value)?),
            "--ready-after" => options.ready_after = Duration::from_secs(number(value)?),
            "--greeting" => options.greeting = (*value).to_owned(),
            other => return Err(format!("unknown flag {other}\n{USAGE}")),
        }
        rest = after;
    }
    if let [left, ..] = rest {
        return Err(format!("unknown argument {left}\n{USAGE}"));
    }
    if web.is_empty() && tcp.is_empty() && udp.is_empty() {
        web.push(8080);
    }
    let options = std::sync::Arc::new(options);
    for port in web {
        http::serve(port, options.clone()).map_err(|error| format!("listen on {port}: {error}"))?;
    }
    for port in tcp {
        echo::tcp(port).map_err(|error| format!("listen on {port}: {error}"))?;
    }
    for port in udp {
        echo::udp(port).map_err(|error| format!("listen on {port}/udp: {error}"))?;
    }
    signals::wait_for_end()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number in range: {text}"))
}
