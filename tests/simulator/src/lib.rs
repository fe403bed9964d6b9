//! The whole control plane on one thread, run by a seed, with everything that can go wrong going
//! wrong: servers, controllers and schedulers that crash, watches that break, answers that get
//! lost, stores that crash, nodes that die. The same seed plays the same way, to the millisecond.
//!
//! `cargo test -p simulator` plays the first seeds of each scenario. A failure prints the one line
//! that plays its seed again, with the trace:
//!
//! ```text
//! SIM_SCENARIO=deployment SIM_SEED=123 cargo test -p simulator every_ -- --nocapture
//! ```
//!
//! `cargo xtask find-bugs` shows that it finds the bugs of `bugs/`, which were made on purpose.
//!
//! `SIM_SEEDS=1000` plays more seeds, `SIM_SEEDS=forever` until it is stopped, both until three have failed
//! (`SIM_ENOUGH=1`: one), `SIM_FIRST=5000` others, `SIM_SCENARIO=quota,garbage` only these; `SIM_TRACE=1`
//! prints the whole trace of a replay as it happens, `KUTTER_LOG=debug` what the rooms log.
//!
//! How it is built: [`world`] wires the rooms as the program does. Each talks to the server through a
//! [`wire`] that [`chaos`] makes bad; [`witness`] shows every durable write to the [`ledger`], whose
//! [`judge`] and rules know what is wrong. [`kubelet`] is a node without containers, [`machines`] what
//! truly runs, [`meter`] what it uses, [`recorder`] a client that must miss nothing, `skew` what a
//! clock does that is set. [`scenario`] plays one of [`scenarios`], [`seeds`] many. Anything that makes
//! a replay differ (std's hash maps, unbiased `select!`, the system's clock or randomness) is a bug
//! wherever it stands.

pub mod chaos;
pub mod door;
pub mod judge;
pub mod kubelet;
pub mod ledger;
pub mod machines;
pub mod meter;
pub mod player;
pub mod recorder;
pub mod scenario;
pub mod scenarios;
pub mod seeds;
mod skew;
pub mod wire;
pub mod witness;
pub mod world;
