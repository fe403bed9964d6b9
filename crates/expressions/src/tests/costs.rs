//! Costs: estimated, counted, limited.

use super::{program, run};
use crate::{Cost, PER_EXPRESSION_LIMIT};

#[test]
fn runs_are_counted_as_upstream_does() {
    for (expression, cost) in [
        ("true", 0),
        ("self.replicas == 3", 3),
        ("self.replicas == self.minReplicas", 5),
        ("type(self.replicas) == int", 4),
        ("self.replicas + 1 == 4 + 1", 5),
        ("has(self.name)", 1),
        ("self.name == 'web'", 3),
        ("self.tags.size() == 3", 4),
        ("[1, 2] == [1, 2]", 21),
        ("{'a': 1} == {'a': 1}", 61),
        ("[1, 2].all(x, x > 0)", 10 + 1 + 2 * (3 + 2)),
        ("'abc'.contains('b')", 1),
        ("'abc'.matches('abcd')", 1),
    ] {
        assert_eq!(run(expression, u64::MAX, |outcome| outcome.cost), Ok(cost), "{expression}");
    }
}

#[test]
fn estimates_cover_what_runs_cost() {
    for expression in [
        "self.tags.all(t, t.startsWith('a') || self.tags.exists(u, u == t))",
        "self.labels.all(k, self.labels[k].contains(k))",
        "self.tags.map(t, t + t).join(',').size() > 1",
        "self.name.replace('w', 'ww').matches('^[a-z]+$')",
        "self.containers.all(c, c.ports.all(p, p in self.numbers))",
        "self.?inner.?x.orValue(1) == 7 ? self.paused : self.name.lowerAscii() == 'x'",
        "sets.contains(self.tags, ['a'])",
        "isIP(self.name) || cidr('10.0.0.0/8').containsIP('10.0.0.1')",
    ] {
        let estimate = program(expression).unwrap().cost();
        let spent = run(expression, u64::MAX, |outcome| outcome.cost).unwrap();
        assert!(estimate.min <= spent && spent <= estimate.max, "{expression}: {spent} not in {estimate:?}");
    }
}

#[test]
fn bounds_decide_whether_a_rule_is_taken() {
    let max = |expression: &str| program(expression).unwrap().cost().max;
    assert!(max("self.tags.all(a, self.tags.all(b, a == b))") < 1000);
    assert!(max("self.names.all(a, self.names.all(b, a == b))") > PER_EXPRESSION_LIMIT);
    assert!(max("self.names.all(a, a == 'x')") < PER_EXPRESSION_LIMIT);
    assert_eq!(program("self.replicas > 1").unwrap().cost(), Cost { min: 3, max: 3 });
}
