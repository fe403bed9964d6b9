//! A client of our own with the administrator's certificate, on the host that runs the server.

use crate::kutter::Kutter;
use client::kubeconfig::Overrides;
use client::{Client, Https, Kubeconfig};
use std::sync::Arc;
use testkit::net::Room;

/// Runs a client's work in the host's network.
pub fn run<F: Future + Send>(kutter: &Kutter, work: F) -> F::Output
where
    F::Output: Send,
{
    Room::start(&kutter.host.namespace).run(&kutter.host.namespace, work)
}

/// What sends requests. Called within [`run`].
pub async fn https(kutter: &Kutter) -> Https {
    let env = base::Env::real();
    let config = Kubeconfig::load(&[kutter.kubeconfig()], true).unwrap();
    let target = config.target(&Overrides::default(), &env).await.unwrap();
    Https::new(target.https, &env).unwrap()
}

/// Typed requests. Called within [`run`].
pub async fn client(kutter: &Kutter) -> Client {
    Client::new(Arc::new(https(kutter).await))
}
