//! What is told under upstream's names, and the handles that one flow schema's requests use, so that
//! counting costs no lookup.

use base::Metrics;
use base::metrics::{Counter, Family, Gauge, Histogram};
use std::sync::atomic::AtomicU64;

type Labels<const N: usize> = [(&'static str, String); N];
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Fractions<const N: usize> = Family<Labels<N>, Gauge<f64, AtomicU64>>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

const DURATIONS: [f64; 15] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0];

pub struct All {
    rejected: Family<Labels<3>, Counter>,
    dispatched: Family<Labels<2>, Counter>,
    inqueue: Gauges<2>,
    executing: Gauges<2>,
    seats: Gauges<2>,
    waited: Histograms<3>,
    ran: Histograms<3>,
    nominal: Gauges<1>,
    lower: Gauges<1>,
    upper: Gauges<1>,
    current: Gauges<1>,
    highest: Gauges<1>,
    average: Fractions<1>,
    deviation: Fractions<1>,
    smoothed: Fractions<1>,
    target: Fractions<1>,
    fraction: Gauge<f64, AtomicU64>,
    /// `apiserver_current_inflight_requests`, of requests that read and that write.
    pub inflight: [Gauge; 2],
    pub inqueue_by_kind: [Gauge; 2],
}

/// The numbers of one schema's requests.
pub struct Flow {
    pub dispatched: Counter,
    pub inqueue: Gauge,
    pub executing: Gauge,
    pub seats: Gauge,
    /// Of those that got a seat, and of those that did not.
    pub waited: [Histogram; 2],
    /// Of requests, and of watches that begin.
    pub ran: [Histogram; 2],
}

/// What one round of sharing came to, for one level.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sharing {
    pub nominal: u32,
    pub lower: u32,
    pub upper: u32,
    pub current: u32,
    pub highest: u32,
    pub average: f64,
    pub deviation: f64,
    pub smoothed: f64,
    pub target: f64,
}

fn histogram() -> Histogram {
    Histogram::new(DURATIONS)
}

impl All {
    pub fn new(metrics: &Metrics) -> Self {
        let per_level = |name: &str, help: &str| -> Gauges<1> {
            metrics.register(&format!("apiserver_flowcontrol_{name}"), help, Family::default())
        };
        let fraction = |name: &str, help: &str| -> Fractions<1> {
            metrics.register(&format!("apiserver_flowcontrol_{name}"), help, Family::default())
        };
        let per_flow = |name: &str, help: &str| -> Gauges<2> {
            metrics.register(&format!("apiserver_flowcontrol_{name}"), help, Family::default())
        };
        let durations = |name: &str, help: &str| -> Histograms<3> {
            let family = Family::new_with_constructor(histogram as fn() -> Histogram);
            metrics.register(&format!("apiserver_flowcontrol_{name}"), help, family)
        };
        let kinds = |name: &str, help: &str| -> [Gauge; 2] {
            let family: Gauges<1> = metrics.register(name, help, Family::default());
            ["readOnly", "mutating"].map(|kind| family.get_or_create(&[("request_kind", kind.to_owned())]).clone())
        };
        All {
            rejected: metrics.register(
                "apiserver_flowcontrol_rejected_requests",
                "Number of requests rejected by API Priority and Fairness subsystem",
                Family::default(),
            ),
            dispatched: metrics.register(
                "apiserver_flowcontrol_dispatched_requests",
                "Number of requests executed by API Priority and Fairness subsystem",
                Family::default(),
            ),
            inqueue: per_flow("current_inqueue_requests", "Number of requests that wait in queues"),
            executing: per_flow("current_executing_requests", "Number of requests that run, or watches that begin"),
            seats: per_flow("current_executing_seats", "Seats that are taken by requests that run"),
            waited: durations("request_wait_duration_seconds", "How long requests waited in their queues"),
            ran: durations("request_execution_seconds", "How long requests ran"),
            nominal: per_level("nominal_limit_seats", "Nominal number of execution seats of each priority level"),
            lower: per_level("lower_limit_seats", "Lower bound on seats of each priority level"),
            upper: per_level("upper_limit_seats", "Upper bound on seats of each priority level"),
            current: per_level("current_limit_seats", "Seats that each priority level has now"),
            highest: per_level("demand_seats_high_watermark", "Most seats wanted in the last period"),
            average: fraction("demand_seats_average", "Average of seats wanted in the last period"),
            deviation: fraction("demand_seats_stdev", "Standard deviation of seats wanted in the last period"),
            smoothed: fraction("demand_seats_smoothed", "Smoothed demand for seats"),
            target: fraction("target_seats", "Seats that each priority level would like"),
            fraction: metrics.register(
                "apiserver_flowcontrol_seat_fair_frac",
                "Fair fraction of the server's seats",
                Gauge::default(),
            ),
            inflight: kinds("apiserver_current_inflight_requests", "Requests under way, by kind"),
            inqueue_by_kind: kinds("apiserver_current_inqueue_requests", "Requests that wait, by kind"),
        }
    }

    pub fn flow(&self, schema: &str, level: &str) -> Flow {
        let two = || [("priority_level", level.to_owned()), ("flow_schema", schema.to_owned())];
        let three = |name: &'static str, value: &str| {
            let [level, schema] = two();
            [level, schema, (name, value.to_owned())]
        };
        Flow {
            dispatched: self.dispatched.get_or_create(&two()).clone(),
            inqueue: self.inqueue.get_or_create(&two()).clone(),
            executing: self.executing.get_or_create(&two()).clone(),
            seats: self.seats.get_or_create(&two()).clone(),
            waited: ["true", "false"].map(|done| self.waited.get_or_create(&three("execute", done)).clone()),
            ran: ["regular", "watch"].map(|kind| self.ran.get_or_create(&three("type", kind)).clone()),
        }
    }

    pub fn reject(&self, schema: &str, level: &str, reason: &str) {
        let labels =
            [("priority_level", level.to_owned()), ("flow_schema", schema.to_owned()), ("reason", reason.to_owned())];
        self.rejected.get_or_create(&labels).inc();
    }

    pub fn share(&self, level: &str, sharing: &Sharing) {
        let labels = [("priority_level", level.to_owned())];
        for (family, seats) in [
            (&self.nominal, sharing.nominal),
            (&self.lower, sharing.lower),
            (&self.upper, sharing.upper),
            (&self.current, sharing.current),
            (&self.highest, sharing.highest),
        ] {
            family.get_or_create(&labels).set(i64::from(seats));
        }
        for (family, seats) in [
            (&self.average, sharing.average),
            (&self.deviation, sharing.deviation),
            (&self.smoothed, sharing.smoothed),
            (&self.target, sharing.target),
        ] {
            family.get_or_create(&labels).set(seats);
        }
    }

    pub fn set_fraction(&self, fraction: f64) {
        self.fraction.set(fraction);
    }
}
