//! How the server's seats are shared out anew: every level keeps what it needs of its own, and what
//! it does not is lent to those who ask for more.

/// One level as the sharing sees it.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// What it keeps whatever others want.
    pub low: f64,
    /// What it can get at most.
    pub high: f64,
    /// What it would like.
    pub target: f64,
}

/// Seats of each level, adding up to `total` where their bounds allow it: targets are scaled by one
/// factor for all, and each level stays within its bounds. The factor comes with them.
pub fn allocate(total: f64, demands: &[Demand]) -> (Vec<f64>, f64) {
    let sum_at = |factor: f64| -> f64 { demands.iter().map(|demand| at(demand, factor)).sum() };
    let least: f64 = demands.iter().map(|demand| demand.low).sum();
    if least >= total {
        return (demands.iter().map(|demand| demand.low).collect(), 0.0);
    }
    let (mut below, mut above) = (0.0, 1.0);
    // Far enough for any target that is at least one seat.
    while sum_at(above) < total && above < 1e9 {
        above *= 2.0;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(below, above);
        if sum_at(middle) < total { below = middle } else { above = middle }
    }
    (demands.iter().map(|demand| at(demand, above)).collect(), above)
}

fn at(demand: &Demand, factor: f64) -> f64 {
    (demand.target * factor).clamp(demand.low, demand.high.max(demand.low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(low: f64, high: f64, target: f64) -> Demand {
        Demand { low, high, target }
    }

    #[test]
    fn idle_seats_go_to_who_wants_them() {
        let (seats, _) = allocate(100.0, &[demand(10.0, 100.0, 10.0), demand(50.0, 100.0, 200.0)]);
        assert!((seats.iter().sum::<f64>() - 100.0).abs() < 0.01, "{seats:?}");
        assert!(seats[1] > 88.0, "{seats:?}");
    }

    #[test]
    fn nobody_gets_less_than_it_keeps_or_more_than_it_may() {
        let (seats, _) = allocate(100.0, &[demand(30.0, 100.0, 1.0), demand(10.0, 40.0, 1000.0)]);
        assert!(seats[0] >= 59.0 && (seats[1] - 40.0).abs() < 0.01, "{seats:?}");
        let (seats, factor) = allocate(50.0, &[demand(30.0, 100.0, 1.0), demand(30.0, 40.0, 1000.0)]);
        assert_eq!((seats, factor), (vec![30.0, 30.0], 0.0));
    }
}
