//! The whole of it under a paused clock: floods, fair shares, borrowing, patience.

use super::*;
use base::Timestamp;
use meta::User;
use serde_json::json;

fn control(total: u32) -> Arc<FlowControl> {
    let control = FlowControl::new(&Env::simulated(1, Timestamp::UNIX_EPOCH), total);
    bootstrap::levels().chain(bootstrap::schemas()).for_each(|object| put(&control, &object));
    Arc::new(control)
}

fn put(control: &FlowControl, object: &Value) {
    let resource = if object["kind"] == "FlowSchema" { "flowschemas" } else { "prioritylevelconfigurations" };
    control.observe(resource, object["metadata"]["name"].as_str().unwrap(), Some(object));
}

fn user(name: &str, group: &str) -> User {
    User::new(name, &[group, "system:authenticated"])
}

fn get<'a>(user: &'a User, namespace: &'a str) -> Attributes<'a> {
    Attributes { version: "v1", namespace, name: "a", ..Attributes::resource(user, "get", "", "pods") }
}

fn enter(control: &FlowControl, asked: &Attributes<'_>) -> Entry {
    let flow = control.classify(asked).unwrap();
    control.enter(&flow, asked, Work::ONE, Duration::from_secs(60))
}

#[tokio::test(start_paused = true)]
async fn seats_go_by_shares_and_masters_are_never_held() {
    let control = control(600);
    let nominal: BTreeMap<String, u32> =
        control.levels().iter().map(|level| (level.name.clone(), level.lock().nominal)).collect();
    // As a server with upstream's defaults shares them.
    assert_eq!(
        nominal.into_iter().collect::<Vec<_>>(),
        [
            ("catch-all", 13),
            ("exempt", 0),
            ("global-default", 49),
            ("leader-election", 25),
            ("node-high", 98),
            ("system", 74),
            ("workload-high", 98),
            ("workload-low", 245)
        ]
        .map(|(name, seats)| (name.to_owned(), seats))
    );
    let root = user("root", "system:masters");
    let held: Vec<Entry> = (0..2000).map(|_| enter(&control, &get(&root, "a"))).collect();
    assert!(held.iter().all(|entry| matches!(entry, Entry::Begin(_))));
}

#[tokio::test(start_paused = true)]
async fn two_floods_share_and_another_level_is_not_starved() {
    let control = control(60);
    let (jane, joe) = (user("jane", "dev"), user("joe", "dev"));
    let system = user("system:serviceaccount:kube-system:coredns", "system:serviceaccounts");
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    for number in 0..100 {
        // Jane comes with four times as many.
        let who = if number % 5 == 0 { &joe } else { &jane };
        match enter(&control, &get(who, "a")) {
            Entry::Begin(seat) => held.push(seat),
            Entry::Wait(waiter) => waiting.push((who.name.clone(), waiter)),
            Entry::Refused(refused) => assert_eq!(refused.reason, "queue-full"),
        }
    }
    assert!(matches!(enter(&control, &get(&system, "a")), Entry::Begin(_)), "kube-system waits for nobody");
    let done: Arc<Mutex<Vec<String>>> = Arc::default();
    let tasks = control.env.tasks.clone();
    for (name, waiter) in waiting {
        let (done, clock) = (done.clone(), control.env.clock.clone());
        tasks.spawn("request", async move {
            let seat = waiter.wait().await.unwrap();
            done.lock().unwrap().push(name);
            clock.sleep(Duration::from_millis(10)).await;
            drop(seat);
        });
    }
    drop(held);
    control.env.clock.sleep(Duration::from_secs(1)).await;
    let done = done.lock().unwrap();
    let joes = done.iter().take(24).filter(|name| *name == "joe").count();
    assert!((8..=16).contains(&joes), "joe had {joes} of the first 24: {done:?}");
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_a_lost_client_leaves_its_place() {
    let control = control(20);
    let jane = user("jane", "dev");
    let mut held = Vec::new();
    let first = loop {
        match enter(&control, &get(&jane, "a")) {
            Entry::Begin(seat) => held.push(seat),
            Entry::Wait(waiter) => break waiter,
            Entry::Refused(refused) => panic!("{refused:?}"),
        }
    };
    let began = control.env.clock.instant();
    assert_eq!(first.wait().await.map(|_| ()).unwrap_err(), Refused { reason: "time-out", retry_after: 1 });
    assert_eq!(control.env.clock.instant().duration_since(began), Duration::from_secs(15));
    let Entry::Wait(second) = enter(&control, &get(&jane, "a")) else { panic!("did not wait") };
    drop(second);
    let level = control.classify(&get(&jane, "a")).unwrap().level.clone();
    assert_eq!(level.lock().queues.waiting, 0);
    drop(held);
    assert!(level.lock().queues.is_idle());
}

#[tokio::test(start_paused = true)]
async fn idle_levels_lend_their_seats_and_get_them_back() {
    let control = control(600);
    let jane = user("jane", "dev");
    let limit = |name: &str| {
        let level = control.levels().into_iter().find(|level| level.name == name).unwrap();
        level.lock().queues.limit.unwrap()
    };
    let entries: Vec<Entry> = (0..90).map(|_| enter(&control, &get(&jane, "a"))).collect();
    assert_eq!(limit("global-default"), 49);
    control.env.clock.sleep(SHARE_EVERY).await;
    control.share();
    assert!(limit("global-default") > 85, "{}", limit("global-default"));
    drop(entries);
    for _ in 0..400 {
        control.env.clock.sleep(SHARE_EVERY).await;
        control.share();
    }
    assert!(limit("global-default") < 70, "{}", limit("global-default"));
}

#[tokio::test(start_paused = true)]
async fn a_schema_without_its_level_takes_nobody_and_gone_levels_run_dry() {
    let control = control(60);
    let jane = user("jane", "dev");
    put(
        &control,
        &json!({"kind": "FlowSchema", "metadata": {"name": "janes"}, "spec": {
            "priorityLevelConfiguration": {"name": "own"}, "matchingPrecedence": 50,
            "rules": [{"subjects": [{"kind": "User", "user": {"name": "jane"}}], "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]}}),
    );
    let name = |control: &FlowControl| control.classify(&get(&jane, "a")).unwrap().spec.name.clone();
    assert_eq!(name(&control), "global-default");
    let level = json!({"kind": "PriorityLevelConfiguration", "metadata": {"name": "own", "uid": "u"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"}}}});
    put(&control, &level);
    assert_eq!(name(&control), "janes");
    let held = enter(&control, &get(&jane, "a"));
    assert!(matches!(held, Entry::Begin(_)));
    control.observe("prioritylevelconfigurations", "own", None);
    assert_eq!(name(&control), "global-default");
    assert!(control.levels().iter().any(|level| level.name == "own" && level.lock().quiescing));
    drop(held);
    control.share();
    assert!(!control.levels().iter().any(|level| level.name == "own"));
}

/// What a request costs that nobody holds up: run with `--ignored --nocapture`, built for release.
#[tokio::test]
#[ignore = "a measurement"]
async fn entering_costs_little() {
    let control = Arc::new(FlowControl::new(&Env::real(), 600));
    bootstrap::levels().chain(bootstrap::schemas()).for_each(|object| put(&control, &object));
    for (who, group) in [("root", "system:masters"), ("jane", "dev")] {
        let user = user(who, group);
        let began = control.env.clock.instant();
        for _ in 0..200_000 {
            assert!(matches!(enter(&control, &get(&user, "default")), Entry::Begin(_)));
        }
        println!("{who}: {:?} each", control.env.clock.instant().duration_since(began) / 200_000);
    }
}
