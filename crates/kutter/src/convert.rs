//! `kutter convert`: manifests of old API versions made into today's.

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command};
use cli::convert::{Form, convert};
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

pub fn command() -> Command {
    Command::new("convert")
        .about("Convert manifests between API versions, without a server")
        .after_help("Example:\n  kutter convert -f old-ingress.yaml --output-version networking.k8s.io/v1 -o yaml")
        .arg(
            Arg::new("filename")
                .short('f')
                .long("filename")
                .value_name("FILE")
                .required(true)
                .help("YAML, JSON or protobuf; - for standard input"),
        )
        .arg(
            Arg::new("output-version")
                .long("output-version")
                .value_name("GROUP/VERSION")
                .help("The version to convert to, where a kind has it; else the one that it is stored as"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FORM")
                .default_value("yaml")
                .help("json, yaml or protobuf"),
        )
}

pub fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let file = text("filename").unwrap_or_default();
    let form = match text("output").unwrap_or_default() {
        "json" => Form::Json,
        "yaml" => Form::Yaml,
        "protobuf" => Form::Protobuf,
        other => bail!(
            "unable to match a printer suitable for the output format {other:?}, allowed formats are: json,protobuf,yaml"
        ),
    };
    let mut input = Vec::new();
    match file {
        "-" => std::io::stdin().lock().read_to_end(&mut input).context("cannot read standard input")?,
        file => std::fs::File::open(file)
            .and_then(|mut open| open.read_to_end(&mut input))
            .with_context(|| format!("cannot read {file}"))?,
    };
    let converted = convert(&input, text("output-version"), form)?;
    std::io::stdout().lock().write_all(&converted)?;
    Ok(ExitCode::SUCCESS)
}
