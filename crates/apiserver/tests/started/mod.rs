//! The one server that these tests start, in memory. They differ in who is known, in admission
//! plugins that are off, and in limits.

use apiserver::{Access, Apis, Identity, Limits, Server, Settings};
use base::Env;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::MemoryStore;

pub async fn server(env: &Env, store: MemoryStore, identity: Identity, off: &[&str], limits: Limits) -> Arc<Server> {
    let gates = base::collections::HashSet::default();
    let setup = admission::Setup { clock: env.clock.clone(), rng: env.rng.clone(), gates };
    let chain = admission::Chain::from_flags(&setup, &[], off).unwrap();
    let audiences = identity.issuer.iter().flat_map(|issuer| issuer.audiences.clone()).collect();
    let settings = Settings {
        service_cidr: "10.96.0.0/16".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ca_pem: String::new(),
        feature_gates: BTreeMap::new(),
        apis: Apis::default(),
        limits,
        audiences,
    };
    Server::start(env.clone(), Arc::new(store), chain, Access::standard(), identity, settings).await.unwrap()
}
