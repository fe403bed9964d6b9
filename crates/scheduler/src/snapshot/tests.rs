//! The snapshot under changes: counts must be what a count from scratch gives.

use super::*;
use crate::fixture::pod;
use crate::selectors::Matcher;
use base::Rng;
use client::cache::Item;
use meta::labels::Selector;
use serde_json::json;

fn node(name: &str, zone: &str) -> NodeItem {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    let object = json!({"metadata": {"name": name, "labels": labels}});
    Arc::new(Item::read(object.to_string().into()).unwrap())
}

#[test]
fn zones_take_turns() {
    let mut snapshot = Snapshot::default();
    for (name, zone) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        snapshot.observe_node(&Change { old: None, new: Some(node(name, zone)) });
    }
    let names = |snapshot: &mut Snapshot| -> Vec<String> {
        snapshot.order().iter().map(|slot| snapshot.node(*slot).name.clone()).collect()
    };
    assert_eq!(names(&mut snapshot), ["a1", "b1", "a2", "a3"]);
    let gone = node("a1", "a");
    snapshot.observe_node(&Change { old: Some(gone), new: None });
    assert_eq!(names(&mut snapshot), ["a2", "b1", "a3"]);
}

#[test]
fn counts_stay_right_through_random_changes() {
    let rng = Rng::seeded(7);
    let mut snapshot = Snapshot::default();
    let names: Vec<String> = (0..6).map(|number| format!("n{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let zone = if number % 2 == 0 { "even" } else { "odd" };
        snapshot.observe_node(&Change { old: None, new: Some(node(name, zone)) });
    }
    let condition = |text: &str| Condition {
        namespaces: Some(["d".to_owned()].into()),
        selector: Matcher::new(Selector::parse(text).unwrap()),
    };
    let questions: Vec<Question> = ["app=a", "app", "app in (a,b),rev!=1"]
        .iter()
        .map(|text| Question::of(vec![condition(text)]))
        .chain([Question { conditions: vec![condition("app=b")], skips_deleting: true }])
        .collect();
    for step in 0..2000 {
        let name = format!("p{}", rng.usize(0..40));
        if rng.chance(0.3) {
            snapshot.forget(&Key::new("d", &name), None);
        } else {
            let app = ["a", "b", "c"][rng.usize(0..3)];
            let mut object = json!({"metadata": {"name": name, "labels": {"app": app, "rev": step.to_string()}}});
            if rng.chance(0.2) {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            snapshot.place(pod(&object), &names[rng.usize(0..6)]);
        }
        let question = &questions[rng.usize(0..questions.len())];
        let counted = snapshot.count(question).to_vec();
        let mut fresh = Snapshot { nodes: vec![Node::new(0, ""); 6], ..Snapshot::default() };
        for node in &snapshot.nodes {
            node.pods.values().for_each(|pod| fresh.count_in(node.slot, pod, true));
            fresh.nodes[node.slot] = node.clone();
        }
        let fresh = fresh.count(question).to_vec();
        assert_eq!(counted, fresh, "step {step}");
    }
    let users: usize = snapshot.nodes.iter().map(|node| node.pods.len()).sum();
    assert_eq!(users, snapshot.placed());
}

#[test]
fn a_pod_stays_where_the_server_has_it_whatever_becomes_of_later_plans() {
    let mut snapshot = Snapshot::default();
    for name in ["n1", "n2"] {
        snapshot.observe_node(&Change { old: None, new: Some(node(name, "a")) });
    }
    let at = |snapshot: &Snapshot| snapshot.standing(&Key::new("d", "p")).map(|slot| snapshot.nodes[slot].name.clone());
    let waiting = pod(&json!({"metadata": {"name": "p", "uid": "1"}}));
    let bound = pod(&json!({"metadata": {"name": "p", "uid": "1"}, "spec": {"nodeName": "n1"}}));
    snapshot.assume(waiting.clone(), "n2");
    assert_eq!(at(&snapshot).as_deref(), Some("n2"));
    // A binding of before comes through, of which no answer came, while the next is under way.
    snapshot.observe_pod(&Change { old: Some(waiting.clone()), new: Some(bound) });
    assert_eq!(at(&snapshot).as_deref(), Some("n1"));
    assert!(snapshot.withdraw(&waiting).is_none());
    snapshot.assume(waiting.clone(), "n2");
    assert_eq!(at(&snapshot).as_deref(), Some("n1"));
    // Nobody's but a plan's: it can be taken back.
    let other = pod(&json!({"metadata": {"name": "p", "uid": "2"}}));
    snapshot.forget(&Key::new("d", "p"), None);
    snapshot.assume(other.clone(), "n2");
    assert!(snapshot.withdraw(&other).is_some());
    assert_eq!(at(&snapshot), None);
}
