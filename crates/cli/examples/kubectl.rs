//! kubectl alone, for trying it without the rest.
fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().collect())
}
