//! Log lines to standard error. Set up once, by a process's `main`.

use tracing_subscriber::EnvFilter;

/// Starts logging at `default_filter` (tracing's syntax), unless the variable `KUTTER_LOG` says
/// otherwise. A second call does nothing.
pub fn init(default_filter: &str) {
    let filter = EnvFilter::try_from_env("KUTTER_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    // Fails only where a logger stands already, which is as good.
    let _ = subscriber.try_init();
}
