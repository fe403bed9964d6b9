//! A node's `/metrics/resource`: the text format, as far as it is needed.

use super::readings::{Reading, Round};
use base::Timestamp;

/// Takes a node's document into a round.
pub(super) fn read(node: &str, text: &str, now: Timestamp, round: &mut Round) {
    for sample in text.lines().filter_map(sample) {
        let at = sample.at.unwrap_or(now);
        let label = |name: &str| sample.labels.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let reading = match sample.name {
            "node_cpu_usage_seconds_total" | "node_memory_working_set_bytes" => {
                round.nodes.entry(node.to_owned()).or_default()
            }
            "container_cpu_usage_seconds_total"
            | "container_memory_working_set_bytes"
            | "container_start_time_seconds" => {
                let (Some(namespace), Some(pod), Some(container)) =
                    (label("namespace"), label("pod"), label("container"))
                else {
                    continue;
                };
                round.pods.entry((namespace, pod)).or_default().entry(container).or_default()
            }
            _ => continue,
        };
        take(reading, sample.name, sample.value, at);
    }
}

fn take(reading: &mut Reading, name: &str, value: f64, at: Timestamp) {
    match name {
        // Billionths of a second; a float holds them exactly for a hundred days of work.
        "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => {
            reading.cpu = Some(((value * 1e9) as u64, at));
        }
        "container_start_time_seconds" => {
            reading.started = Timestamp::from_millisecond((value * 1e3) as i64).ok();
        }
        _ => reading.memory = Some(value as u64),
    }
}

struct Sample<'t> {
    name: &'t str,
    labels: Vec<(&'t str, String)>,
    value: f64,
    at: Option<Timestamp>,
}

/// `name{label="value",…} value [milliseconds]`
fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    if line.starts_with('#') || line.is_empty() {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut numbers = rest.split_whitespace();
    let value = numbers.next()?.parse().ok()?;
    let at = numbers.next().and_then(|text| Timestamp::from_millisecond(text.parse().ok()?).ok());
    Some(Sample { name, labels, value, at })
}

type Labels<'t> = (Vec<(&'t str, String)>, &'t str);

fn labels(mut rest: &str) -> Option<Labels<'_>> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        rest = loop {
            match letters.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP node_cpu_usage_seconds_total x\n\
        node_cpu_usage_seconds_total 12.5 1700000000123\n\
        node_memory_working_set_bytes 1.5e+09 1700000000123\n\
        container_cpu_usage_seconds_total{container=\"a\\\"b\",namespace=\"ns\",pod=\"p\"} 0.25 1700000000100\n\
        container_memory_working_set_bytes{container=\"a\\\"b\",namespace=\"ns\",pod=\"p\"} 4096\n\
        container_start_time_seconds{container=\"a\\\"b\",namespace=\"ns\",pod=\"p\"} 1.699999e+09\n\
        pod_cpu_usage_seconds_total{namespace=\"ns\",pod=\"p\"} 3\nnonsense\nworse{a=\"\n";

    #[test]
    fn documents_become_readings() {
        let mut round = Round::default();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        read("n1", TEXT, now, &mut round);
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let node = &round.nodes["n1"];
        assert_eq!((node.cpu, node.memory), (Some((12_500_000_000, at(1_700_000_000_123))), Some(1_500_000_000)));
        let container = &round.pods[&("ns".to_owned(), "p".to_owned())]["a\"b"];
        assert_eq!(container.cpu, Some((250_000_000, at(1_700_000_000_100))));
        assert_eq!((container.memory, container.started), (Some(4096), Some(at(1_699_999_000_000))));
        assert_eq!((round.nodes.len(), round.pods.len()), (1, 1));
    }
}
