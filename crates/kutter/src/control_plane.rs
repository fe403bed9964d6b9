//! Wires the server's rooms: store, API server and its socket, controllers, scheduler.

use crate::api_flags;
use crate::failure;
use crate::rotation;
use crate::sealing::Sealing;
use crate::up::{Options, Place};
use anyhow::Context as _;
use apiserver::aggregate::Aggregator;
use apiserver::connect::Connector;
use apiserver::http::{Drain, Front, Measure};
use apiserver::{Identity, Links, Local, Server, Settings};
use auth::authn::{Issuer, TokenFile, Verifier};
use auth::encryption::Keyring;
use base::Env;
use client::{Api, ClientCertificate};
use cluster::objects::{self, ObjectOptions};
use cluster::{Pki, PkiOptions};
use cluster::{kubeconfig, tls};
use meta::User;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{SqliteStore, Store};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

pub struct ControlPlane {
    pub server: Arc<Server>,
    pub pki: Pki,
    store: Arc<dyn Store>,
    env: Env,
    address: SocketAddr,
    drain: Drain,
}

impl ControlPlane {
    /// Starts the server and answers once it can be called; it says ready after
    /// [`ControlPlane::set_ready`].
    pub async fn start(env: &Env, options: &Options, place: &Place) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(options.listen).await.map_err(|error| failure::listen(options.listen, &error))?;
        let address = listener.local_addr().context("cannot tell the listening address")?;
        let now = env.clock.now();
        let pki = Pki::load_or_create(&options.data_dir.join("pki"), &pki_options(options, place)?, now)?;
        let keys = Keyring::at(&options.data_dir.join(rotation::KEYS));
        let encryption = options.access.encryption(keys.sealer()?, env)?;
        let directory = options.data_dir.join("store");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&directory, env, Some(Arc::new(Sealing(encryption.clone()))))?);
        let server = Server::start(
            env.clone(),
            store.clone(),
            admission_chain(env, options)?,
            options.access.access(env).await?,
            identity(&pki, options, env).await?,
            settings(&pki, options),
        )
        .await?;
        let served = tls::Served::new(&pki.apiserver)?;
        let front = front(env, &server, &pki, SocketAddr::new(place.advertise, address.port()), options).await?;
        listen(env, &front, &pki, served.clone(), listener)?;
        env.tasks.spawn("certificates", keep_fresh(env.clone(), options.clone(), place.clone(), pki.clone(), served));
        let plane = ControlPlane { server, pki, store, env: env.clone(), address, drain: front.drain.clone() };
        let root = plane.api(User::new(auth::names::API_SERVER, &[auth::names::MASTERS]));
        let wanted = objects::all(&plane.object_options(options, place)?);
        objects::ensure(root.as_ref(), &wanted).await?;
        plane.write_kubeconfigs(options)?;
        env.tasks.spawn("upkeep", plane.server.clone().upkeep());
        let rotation = rotation::Rotation { env: env.clone(), store: plane.store.clone(), encryption, keys };
        env.tasks.spawn("key rotation", rotation.follow(plane.server.clone()));
        Ok(plane)
    }

    pub fn set_ready(&self) {
        self.server.set_ready();
    }

    /// How this machine reaches the server.
    pub fn local_url(&self) -> String {
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        format!("https://{}", SocketAddr::new(host, self.address.port()))
    }

    /// Signs the tokens of service accounts.
    pub fn issuer(&self, options: &Options) -> anyhow::Result<Issuer> {
        Ok(accounts(&self.pki, options)?.0)
    }

    /// A door into the server under the identity of one component.
    pub fn api(&self, user: User) -> Arc<dyn Api> {
        Arc::new(Local::new(self.server.clone(), user))
    }

    fn object_options(&self, options: &Options, place: &Place) -> anyhow::Result<ObjectOptions> {
        Ok(ObjectOptions {
            ca: self.pki.ca.certificate().to_owned(),
            front_proxy_ca: self.pki.front_proxy_ca.certificate().to_owned(),
            server: format!("https://{}", SocketAddr::new(place.advertise, self.address.port())),
            advertise_address: place.advertise,
            advertise_port: self.address.port(),
            pod_cidr: options.pod_cidr.clone(),
            cluster_domain: options.cluster_domain.clone(),
            service_cidr: options.service_cidr.clone(),
            service_address: first_address(&options.service_cidr)?,
            dns_address: nth_address(&options.service_cidr, 10)?,
        })
    }

    fn write_kubeconfigs(&self, options: &Options) -> anyhow::Result<()> {
        let admin = kubeconfig::Credential::Certificate(&self.pki.admin);
        let text = kubeconfig::text(&self.local_url(), self.pki.ca.certificate(), "kubernetes-admin", &admin);
        kubeconfig::write(&options.data_dir.join("admin.kubeconfig"), &text)?;
        let root = kubeconfig::Credential::Certificate(&self.pki.super_admin);
        let root = kubeconfig::text(&self.local_url(), self.pki.ca.certificate(), "kubernetes-super-admin", &root);
        kubeconfig::write(&options.data_dir.join("super-admin.kubeconfig"), &root)?;
        if let Some(path) = &options.write_kubeconfig {
            kubeconfig::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Resolves when the store fails, with the reason: nothing can be promised any more.
    pub async fn failed(&self) -> String {
        self.store.closed().await
    }

    /// Lets clients finish: readiness goes, then connections end one after the other.
    pub async fn drain(&self, options: &Options) {
        let limit = options.api.limits.request_timeout;
        self.drain.run(&self.env, options.api.shutdown_delay, limit).await;
    }

    /// Ends every task, then closes the store after what is under way.
    pub async fn stop(&self) {
        self.env.tasks.stop().await;
        self.store.close().await;
    }
}

pub fn pki_options(options: &Options, place: &Place) -> anyhow::Result<PkiOptions> {
    let mut server_addresses = vec![first_address(&options.service_cidr)?, place.advertise, place.node_ip];
    if !options.listen.ip().is_unspecified() {
        server_addresses.push(options.listen.ip());
    }
    server_addresses.dedup();
    Ok(PkiOptions {
        node_name: place.node_name.clone(),
        cluster_domain: options.cluster_domain.clone(),
        server_addresses,
        server_names: Vec::new(),
        node_addresses: vec![place.node_ip],
    })
}

/// The first address of a range, which the service `kubernetes` gets.
pub fn first_address(cidr: &str) -> anyhow::Result<IpAddr> {
    nth_address(cidr, 1)
}

/// The address at an offset in an IPv4 range.
pub fn nth_address(cidr: &str, offset: u32) -> anyhow::Result<IpAddr> {
    let bad = || format!("{cidr:?} is no IPv4 range such as 10.96.0.0/16");
    let (base, bits) = cidr.split_once('/').with_context(bad)?;
    let base: Ipv4Addr = base.parse().with_context(bad)?;
    let bits: u32 = bits.parse().ok().filter(|bits| (8..=30).contains(bits)).with_context(bad)?;
    let mask = u32::MAX << (32 - bits);
    Ok(IpAddr::V4(Ipv4Addr::from((u32::from(base) & mask) + offset)))
}

fn admission_chain(env: &Env, options: &Options) -> anyhow::Result<admission::Chain> {
    let gates = options.feature_gates.iter().filter(|(_, on)| **on).map(|(name, _)| name.clone()).collect();
    let setup = admission::Setup { clock: env.clock.clone(), rng: env.rng.clone(), gates };
    Ok(admission::Chain::from_flags(&setup, &[], &[])?)
}

fn accounts(pki: &Pki, options: &Options) -> anyhow::Result<(Issuer, Verifier)> {
    let issuer = format!("https://kubernetes.default.svc.{}", options.cluster_domain);
    options.access.accounts(&pki.service_account, &issuer)
}

async fn identity(pki: &Pki, options: &Options, env: &Env) -> anyhow::Result<Identity> {
    let (issuer, verifier) = accounts(pki, options)?;
    let token_file = match &options.token_auth_file {
        Some(path) => {
            let file = TokenFile::load(path)?;
            for warning in &file.warnings {
                tracing::warn!(path = %path.display(), "{warning}");
            }
            Some(file)
        }
        None => None,
    };
    Ok(Identity {
        token_file,
        verifier: Some(verifier),
        outside: options.access.outside(&issuer, env).await?,
        issuer: Some(issuer),
    })
}

fn settings(pki: &Pki, options: &Options) -> Settings {
    Settings {
        apis: options.api.apis.clone(),
        limits: options.api.limits.clone(),
        service_cidr: options.service_cidr.clone(),
        cluster_domain: options.cluster_domain.clone(),
        ca_pem: pki.ca.certificate().to_owned(),
        feature_gates: options.feature_gates.clone(),
        audiences: vec![format!("https://kubernetes.default.svc.{}", options.cluster_domain)],
    }
}

/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_secs(3600);

/// Makes new certificates before the old ones end, and serves them without a restart.
async fn keep_fresh(env: Env, options: Options, place: Place, mut pki: Pki, served: Arc<tls::Served>) {
    loop {
        env.clock.sleep(CERTIFICATES).await;
        if !pki.needs_renewal(env.clock.now()) {
            continue;
        }
        let fresh = pki_options(&options, &place).and_then(|wanted| {
            let fresh = Pki::load_or_create(&options.data_dir.join("pki"), &wanted, env.clock.now())?;
            served.replace(&fresh.apiserver)?;
            Ok(fresh)
        });
        match fresh {
            Ok(fresh) => {
                info!("renewed certificates");
                pki = fresh;
            }
            Err(error) => warn!(%error, "cannot renew certificates"),
        }
    }
}

/// The way to aggregated API servers, and the watch over them.
fn aggregator(env: &Env, server: &Arc<Server>, pki: &Pki) -> anyhow::Result<Arc<Aggregator>> {
    let identity = &pki.front_proxy_client;
    let certificate = ClientCertificate::new(identity.certificate.as_bytes(), identity.key.as_bytes())?;
    let aggregator = Arc::new(Aggregator::new(env.clone(), Arc::new(certificate)));
    env.tasks.spawn("aggregated servers", aggregator.clone().watch_over(server.clone()));
    Ok(aggregator)
}

/// The server as HTTP sees it.
async fn front(
    env: &Env,
    server: &Arc<Server>,
    pki: &Pki,
    advertise: SocketAddr,
    options: &Options,
) -> anyhow::Result<Arc<Front>> {
    let to_nodes = tls::client_config(pki.ca.certificate(), Some(&pki.apiserver_kubelet_client), &["http/1.1"])?;
    let connector = Arc::new(Connector::new(env.clone(), Arc::new(to_nodes)));
    let aggregator = aggregator(env, server, pki)?;
    server.link(Links { connector: connector.clone(), aggregator: aggregator.clone() });
    Ok(Arc::new(Front {
        server: server.clone(),
        connector: Some(connector),
        aggregator: Some(aggregator),
        advertise: advertise.to_string(),
        audit: api_flags::open_audit(env, &options.api).await?,
        measure: Measure::new(&env.metrics),
        configuration: api_flags::configuration(&options.api),
        drain: Drain::default(),
    }))
}

fn listen(
    env: &Env,
    front: &Arc<Front>,
    pki: &Pki,
    served: Arc<tls::Served>,
    listener: TcpListener,
) -> anyhow::Result<()> {
    let config = tls::server_config(served, pki.ca.certificate(), &["h2", "http/1.1"])?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    env.tasks.spawn("api listener", apiserver::http::serve(env.clone(), listener, acceptor, front.clone()));
    Ok(())
}
