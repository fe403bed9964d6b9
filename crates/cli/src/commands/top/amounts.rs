//! Amounts of CPU, memory and swap, their order and their columns.

use crate::print::tabs;
use meta::quantity::Quantity;
use serde_json::Value;

/// kubectl's columns: at least six wide, three apart, every one with its gap.
const MIN_WIDTH: usize = 6;
const PADDING: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    pub cpu: Quantity,
    pub memory: Quantity,
    pub swap: Quantity,
}

impl Used {
    /// From a list of amounts by resource.
    pub fn of(amounts: &Value) -> Self {
        let read = |resource: &str| {
            let text = amounts[resource].as_str().unwrap_or("0");
            Quantity::parse(text).unwrap_or_default()
        };
        Used { cpu: read("cpu"), memory: read("memory"), swap: read("swap") }
    }

    pub fn add(&mut self, other: &Used) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.swap += other.swap;
    }

    /// What `--sort-by` sorts by, the most first.
    pub fn order(&self, sort: &str) -> std::cmp::Reverse<i64> {
        std::cmp::Reverse(match sort {
            "cpu" => self.cpu.milli_value(),
            "memory" => self.memory.value(),
            _ => 0,
        })
    }
}

pub fn cores(amount: Quantity) -> String {
    format!("{}m", amount.milli_value())
}

pub fn mebibytes(amount: Quantity) -> String {
    format!("{}Mi", amount.value() / (1 << 20))
}

pub fn percent(part: Quantity, whole: Quantity) -> String {
    let share = part.milli_value() as f64 / whole.milli_value() as f64 * 100.0;
    format!("{}%", share as i64)
}

/// Rows as columns; each cell ends in a tab, the last too.
pub fn print(rows: &[Vec<String>]) {
    let text: String =
        rows.iter().map(|row| row.iter().map(|cell| format!("{cell}\t")).collect::<String>() + "\n").collect();
    crate::output::out(&tabs::align(&text, MIN_WIDTH, PADDING));
}
