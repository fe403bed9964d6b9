//! Signals, waited for rather than caught: as pid 1 nothing else would deliver them.

use nix::sys::signal::{SigSet, Signal};

/// Keeps the signals back for [`wait_for_end`] and [`print_all`].
pub fn block() -> nix::Result<()> {
    watched().thread_block()
}

/// Waits for SIGTERM or SIGINT.
pub fn wait_for_end() -> Result<u8, String> {
    wait(|signal| matches!(signal, Signal::SIGTERM | Signal::SIGINT))
}

/// Prints every signal; SIGTERM ends it.
pub fn print_all() -> Result<u8, String> {
    println!("waiting for signals");
    wait(|signal| {
        println!("{signal}");
        signal == Signal::SIGTERM
    })
}

fn wait(mut is_end: impl FnMut(Signal) -> bool) -> Result<u8, String> {
    block().map_err(|error| format!("block signals: {error}"))?;
    loop {
        let signal = watched().wait().map_err(|error| format!("wait for a signal: {error}"))?;
        if is_end(signal) {
            return Ok(0);
        }
    }
}

fn watched() -> SigSet {
    use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    SigSet::from_iter([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH])
}
