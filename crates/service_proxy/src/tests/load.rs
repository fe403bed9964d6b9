//! How long many services take. The figures are printed; the limits only catch a change of kind.

use super::{endpoint, service, slice};
use crate::objects::{Service, Slice};
use crate::plan::plan;
use crate::state::{Edit, State};
use client::Key;
use serde_json::json;
use std::time::Duration;
use sys::net::Ipv4Net;
use sys::net::namespace::Namespace;
use sys::net::nftables::Nftables;

const SERVICES: u32 = 10_000;

fn networks() -> (Ipv4Net, Ipv4Net) {
    ("10.244.0.0/16".parse().unwrap(), "10.96.0.0/12".parse().unwrap())
}

fn object(number: u32) -> Service {
    let address = std::net::Ipv4Addr::from(0x0a60_0100 + number).to_string();
    let ports = json!([{"name": "tcp", "port": 80, "protocol": "TCP"}]);
    let spec = json!({"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports});
    serde_json::from_value(service(&format!("s{number}"), spec)).unwrap()
}

fn endpoints(number: u32, version: u32) -> Slice {
    let address = |index: u32| std::net::Ipv4Addr::from(0x0af4_0000 + (number * 2 + index) % 60_000).to_string();
    let replaced = std::net::Ipv4Addr::from(0x0af4_f000 + version).to_string();
    let list = [
        endpoint(&address(0), "there", true),
        endpoint(&if version == 0 { address(1) } else { replaced }, "there", true),
    ];
    let ports = json!([{"name": "tcp", "port": 8080, "protocol": "TCP"}]);
    serde_json::from_value(slice("s", "s-1", ports, &list)).unwrap()
}

#[test]
#[ignore = "a measurement; run it with --ignored --nocapture"]
fn ten_thousand_services_load_and_change_quickly() {
    let clock = base::Clock::real();
    let (cluster, services) = networks();
    let table = crate::table("kt-load");
    let mut state = State::default();
    let objects: Vec<_> = (0..SERVICES).map(|number| (object(number), endpoints(number, 0))).collect();
    let started = clock.instant();
    for (service, slice) in &objects {
        let fronts = plan(service, std::slice::from_ref(slice), "here", &[], None);
        state.set(&Key::of(&service.metadata), fronts, &mut Edit::default());
    }
    let planned = started.elapsed();
    Namespace::create()
        .unwrap()
        .run(|| {
            let mut nft = Nftables::open().unwrap();
            let started = clock.instant();
            let batch = state.rebuild(&table, cluster, services, vec![]);
            let built = started.elapsed();
            nft.commit(batch).unwrap();
            let loaded = started.elapsed();
            println!("{SERVICES} services: plan {planned:?}, batch {built:?}, load {loaded:?}");
            assert!(loaded < Duration::from_secs(2));

            let mut times = Vec::new();
            for version in 1..=1000 {
                let number = version * 7 % SERVICES;
                let key = Key::new("ns", &format!("s{number}"));
                let slice = endpoints(number, version);
                let started = clock.instant();
                let (before, mut edit) = (state.chains(), Edit::default());
                let fronts = plan(&objects[number as usize].0, &[slice], "here", &[], state.fronts(&key));
                state.set(&key, fronts, &mut edit);
                let planned = started.elapsed();
                if let Some(ahead) = state.ahead(&edit, &before, &table, cluster) {
                    nft.commit(ahead).unwrap();
                }
                nft.commit(state.batch(edit, &before, &table)).unwrap();
                times.push((started.elapsed(), planned));
            }
            times.sort();
            let (median, planned) = times[times.len() / 2];
            println!("one endpoint replaced: median {median:?}, of which planning {planned:?}");
            assert!(median < Duration::from_millis(2));
            let started = clock.instant();
            nft.commit(state.rebuild(&table, cluster, services, vec![])).unwrap();
            println!("all replaced by the same: {:?}", started.elapsed());
            let mut removal = sys::net::nftables::Batch::new();
            removal.remove_table(&table);
            nft.commit(removal).unwrap();
        })
        .unwrap();
}
