//! The pages below `/debug/api_priority_and_fairness/`, as upstream lays them out: cells that end in
//! commas, padded into columns.

use crate::control::FlowControl;
use crate::level::Inner;
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Levels,
    Queues,
    Requests { details: bool },
}

impl Page {
    /// By the last part of the path; `details` is the query `includeRequestDetails`.
    pub fn named(name: &str, details: bool) -> Option<Self> {
        Some(match name {
            "dump_priority_levels" => Page::Levels,
            "dump_queues" => Page::Queues,
            "dump_requests" => Page::Requests { details },
            _ => return None,
        })
    }

    fn columns(self) -> Vec<&'static str> {
        let mut columns = match self {
            Page::Levels => vec![
                "PriorityLevelName",
                "ActiveQueues",
                "IsIdle",
                "IsQuiescing",
                "WaitingRequests",
                "ExecutingRequests",
                "DispatchedRequests",
                "RejectedRequests",
                "TimedoutRequests",
                "CancelledRequests",
            ],
            Page::Queues => vec![
                "PriorityLevelName",
                "Index",
                "PendingRequests",
                "ExecutingRequests",
                "SeatsInUse",
                "NextDispatchR",
                "InitialSeatsSum",
                "MaxSeatsSum",
                "TotalWorkSum",
            ],
            Page::Requests { .. } => vec![
                "PriorityLevelName",
                "FlowSchemaName",
                "QueueIndex",
                "RequestIndexInQueue",
                "FlowDistingsher",
                "ArriveTime",
                "InitialSeats",
                "FinalSeats",
                "AdditionalLatency",
                "StartTime",
            ],
        };
        if self == (Page::Requests { details: true }) {
            columns.extend([
                "UserName",
                "Verb",
                "APIPath",
                "Namespace",
                "Name",
                "APIVersion",
                "Resource",
                "SubResource",
            ]);
        }
        columns
    }
}

impl FlowControl {
    /// One of the debugging pages, of this moment.
    pub fn dump(&self, page: Page) -> String {
        let mut rows = vec![page.columns().into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for level in self.levels() {
            let inner = level.lock();
            match page {
                Page::Levels => rows.push(level_row(&level.name, &inner)),
                Page::Queues => queue_rows(&level.name, &inner, &mut rows),
                Page::Requests { details } => request_rows(&level.name, &inner, details, &mut rows),
            }
        }
        table(&rows)
    }
}

fn level_row(name: &str, inner: &Inner) -> Vec<String> {
    let queues = &inner.queues;
    let counts = inner.counts;
    let active = queues.all.iter().filter(|queue| !queue.waiting.is_empty()).count();
    vec![
        name.to_owned(),
        active.to_string(),
        queues.is_idle().to_string(),
        inner.quiescing.to_string(),
        queues.waiting.to_string(),
        queues.executing.to_string(),
        counts.dispatched.to_string(),
        counts.rejected.to_string(),
        counts.timed_out.to_string(),
        counts.cancelled.to_string(),
    ]
}

fn queue_rows(name: &str, inner: &Inner, rows: &mut Vec<Vec<String>>) {
    if inner.spec.queuing.is_none() {
        rows.push(std::iter::once(name).chain(std::iter::repeat_n("<none>", 8)).map(str::to_owned).collect());
        return;
    }
    for (at, queue) in inner.queues.all.iter().enumerate() {
        rows.push(vec![
            name.to_owned(),
            at.to_string(),
            queue.waiting.len().to_string(),
            queue.executing.to_string(),
            queue.seats_in_use.to_string(),
            format!("{:.8}ss", queue.next_r),
            queue.seats_sum.to_string(),
            queue.widest_sum.to_string(),
            format!("{:.8}ss", queue.work_sum),
        ]);
    }
}

fn request_rows(name: &str, inner: &Inner, details: bool, rows: &mut Vec<Vec<String>>) {
    for (at, queue) in inner.queues.all.iter().enumerate() {
        for (place, waiting) in queue.waiting.iter().enumerate() {
            let told = &waiting.ticket.told;
            let linger = waiting.work.linger.as_millis();
            let mut row = vec![
                name.to_owned(),
                waiting.ticket.flow.spec.name.clone(),
                at.to_string(),
                place.to_string(),
                told.distinguisher.clone(),
                told.arrived.to_string(),
                waiting.work.seats.to_string(),
                waiting.work.final_seats.to_string(),
                if linger == 0 { "0s".to_owned() } else { format!("{linger}ms") },
                // It did not start yet.
                "0001-01-01T00:00:00Z".to_owned(),
            ];
            if details {
                let details = [
                    &told.user,
                    &told.verb,
                    &told.path,
                    &told.namespace,
                    &told.name,
                    &told.api_version,
                    &told.resource,
                    &told.subresource,
                ];
                row.extend(details.into_iter().cloned());
            }
            rows.push(row);
        }
    }
}

/// Columns at least eight wide, each cell but a row's last ending in a comma and a blank.
fn table(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(|column| (width(column) + 2).max(8)).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match at + 1 == row.len() {
                true => writeln!(text, "{cell}"),
                false => write!(text, "{:<width$}", format!("{cell},"), width = widths[at]),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_in_columns() {
        let rows = [vec!["Name", "A", "Last"], vec!["a-long-name", "1", "2"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(table(&rows), "Name,        A,      Last\na-long-name, 1,      2\n");
    }
}
