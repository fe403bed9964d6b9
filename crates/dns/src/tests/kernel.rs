//! Questions over the wire.

use super::{populated, put_service, put_slice};
use crate::{Dns, DnsOptions, StartError};
use base::Env;
use client::fake::FakeApi;
use client::{Caches, Error};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sys::net::namespace::Namespace;
use testkit::net::{Host, OUTSIDE, Room, Shape, World, eventually, inside};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

struct Scene {
    world: World,
    host: Host,
    room: Room,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(api: &FakeApi) -> Self {
        let world = World::new(Shape::Switch);
        let host = world.host(1);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("resolv.conf"), format!("nameserver {OUTSIDE}\n")).unwrap();
        let room = Room::start(&host.namespace);
        let scene = Scene { world, host, room, folder };
        scene.start(api).unwrap();
        scene
    }

    fn start(&self, api: &FakeApi) -> Result<(), StartError> {
        let mut options = DnsOptions::new(SERVER, "cluster.local", "kt1");
        options.resolv_conf = self.folder.path().join("resolv.conf");
        let api = Arc::new(api.clone());
        self.room.run(&self.host.namespace, async {
            let env = Env::real();
            let dns = Dns::start(&env, &Caches::new(api, &env), options).await?;
            dns.ready().await;
            Ok(())
        })
    }
}

fn question(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

fn send_udp(from: &Namespace, bytes: &[u8]) -> Option<Vec<u8>> {
    inside(from, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        socket.connect((SERVER, 53)).unwrap();
        socket.send(bytes).unwrap();
        let mut buffer = vec![0; 65536];
        let length = socket.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    })
}

fn udp(from: &Namespace, message: &Message) -> Message {
    let bytes = send_udp(from, &message.to_vec().unwrap()).expect("an answer");
    let answer = Message::from_vec(&bytes).unwrap();
    assert_eq!((answer.metadata.id, &answer.queries), (4711, &message.queries));
    answer
}

fn tcp(from: &Namespace, messages: &[Message]) -> Vec<Message> {
    inside(from, || {
        let mut stream = TcpStream::connect((SERVER, 53)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        let answer = |message: &Message| {
            let bytes = message.to_vec().unwrap();
            stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            Message::from_vec(&bytes).unwrap()
        };
        messages.iter().map(answer).collect()
    })
}

fn ask(from: &Namespace, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let answer = udp(from, &question(name, kind, None));
    let mut data: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    (answer.metadata.response_code, data)
}

/// A name server outside the cluster: `big.` has many records, `gone.` none, `broken.` fails.
fn outside_server(namespace: &Namespace, asked: &Arc<AtomicUsize>) {
    let asked = asked.clone();
    inside(namespace, move || {
        let socket = UdpSocket::bind((OUTSIDE, 53)).unwrap();
        let listener = TcpListener::bind((OUTSIDE, 53)).unwrap();
        let count = asked.clone();
        let _ = base::tasks::thread("outside", move || {
            let mut buffer = [0; 4096];
            // Ends with the test's process.
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = socket.send_to(&outside_answer(&buffer[..length], true), peer);
            }
        });
        let _ = base::tasks::thread("outside", move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut bytes).unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = outside_answer(&bytes, false);
                stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
    });
}

fn outside_answer(bytes: &[u8], udp: bool) -> Vec<u8> {
    let question = Message::from_vec(bytes).unwrap();
    let name = question.queries[0].name().clone();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.queries.clone_from(&question.queries);
    let address = |last: u8| Record::from_rdata(name.clone(), 300, RData::A(A(Ipv4Addr::new(198, 51, 100, last))));
    match name.to_string().as_str() {
        "big.example." if udp => answer.metadata.truncation = true,
        "big.example." => answer.answers = (0..200).map(address).collect(),
        "broken.example." => answer.metadata.response_code = ResponseCode::ServFail,
        "gone.example." => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, 60);
            answer.authorities = vec![Record::from_rdata(name.clone(), 900, RData::SOA(soa))];
        }
        _ => answer.answers = vec![address(1)],
    }
    answer.to_vec().unwrap()
}

#[test]
fn pods_and_hosts_are_answered_over_udp_and_tcp() {
    let api = populated();
    let scene = Scene::new(&api);
    let pod = scene.host.pod(Ipv4Addr::new(10, 244, 1, 2));
    for from in [&scene.host.namespace, &pod] {
        assert_eq!(
            ask(from, "web.ns.svc.cluster.local.", RecordType::A),
            (ResponseCode::NoError, vec!["10.96.0.5".into()])
        );
    }
    let missing = udp(&pod, &question("x.ns.svc.cluster.local.", RecordType::A, Some(1232)));
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert!(
        missing.metadata.authoritative && missing.metadata.recursion_available && missing.metadata.recursion_desired
    );
    assert_eq!(missing.authorities.len(), 1, "a SOA record says how long");
    assert!(missing.edns.is_some());
    let nothing = udp(&pod, &question("web.ns.svc.cluster.local.", RecordType::AAAA, None));
    assert_eq!(
        (nothing.metadata.response_code, nothing.answers.len(), nothing.authorities.len()),
        (ResponseCode::NoError, 0, 1)
    );
    assert!(nothing.edns.is_none(), "no EDNS where none was asked for");
    let two = [
        question("web.ns.svc.cluster.local.", RecordType::A, None),
        question("db-0.db.ns.svc.cluster.local.", RecordType::A, None),
    ];
    let answers: Vec<_> = tcp(&pod, &two).iter().map(|answer| answer.answers[0].data.to_string()).collect();
    assert_eq!(answers, ["10.96.0.5", "10.244.0.2"], "two questions on one connection");

    put_service(&api, "new", json!({"clusterIP": "10.96.0.77", "ports": [{"port": 1}]}));
    eventually("a new service is known", || ask(&pod, "new.ns.svc.cluster.local.", RecordType::A).1 == ["10.96.0.77"]);
}

#[test]
fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let api = populated();
    put_service(&api, "many", json!({"clusterIP": "None"}));
    let endpoints: Vec<_> = (1..=90).map(|last| json!({"addresses": [format!("10.244.9.{last}")]})).collect();
    put_slice(&api, "many", json!([{"port": 80}]), json!(endpoints));
    let scene = Scene::new(&api);
    let from = &scene.host.namespace;
    let ask = |payload| question("many.ns.svc.cluster.local.", RecordType::A, payload);
    for (payload, whole) in [(None, false), (Some(1232), false), (Some(4096), true)] {
        let bytes = send_udp(from, &ask(payload).to_vec().unwrap()).unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= usize::from(payload.unwrap_or(512)), "{} bytes for {payload:?}", bytes.len());
        assert_eq!(answer.metadata.truncation, !whole, "{payload:?}");
        assert_eq!(answer.answers.len() == 90, whole, "{payload:?}");
    }
    let answer = tcp(from, &[ask(None)]).remove(0);
    assert_eq!((answer.answers.len(), answer.metadata.truncation), (90, false));
    let first = |_| udp(from, &ask(Some(4096))).answers[0].data.to_string();
    let firsts: std::collections::BTreeSet<_> = (0..10).map(first).collect();
    assert!(firsts.len() > 1, "not always the same endpoint first");
}

#[test]
fn other_names_are_forwarded_and_remembered() {
    let scene = Scene::new(&populated());
    let from = &scene.host.namespace;
    let asked = Arc::new(AtomicUsize::new(0));
    outside_server(&scene.world.outside, &asked);
    for _ in 0..3 {
        assert_eq!(ask(from, "www.example.", RecordType::A), (ResponseCode::NoError, vec!["198.51.100.1".into()]));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "asked once");
    for _ in 0..2 {
        assert_eq!(ask(from, "gone.example.", RecordType::A).0, ResponseCode::NXDomain);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "absence is remembered, too");
    assert_eq!(ask(from, "broken.example.", RecordType::A).0, ResponseCode::ServFail);
    assert_eq!(ask(from, "away.ns.svc.cluster.local.", RecordType::A).1, ["198.51.100.1", "db.example.com."]);
    assert_eq!(ask(from, "alias.ns.svc.cluster.local.", RecordType::A).1, ["10.96.0.5", "web.ns.svc.cluster.local."]);
    assert_eq!(ask(from, "circle.ns.svc.cluster.local.", RecordType::A).0, ResponseCode::ServFail);
    let answer = tcp(from, &[question("big.example.", RecordType::A, None)]).remove(0);
    assert_eq!(answer.answers.len(), 200, "over TCP where UDP is too small");
    assert!(udp(from, &question("big.example.", RecordType::A, None)).metadata.truncation);

    // The server that answers is asked first once another one has failed.
    std::fs::write(scene.folder.path().join("resolv.conf"), format!("nameserver 192.0.2.99\nnameserver {OUTSIDE}\n"))
        .unwrap();
    std::thread::sleep(Duration::from_secs(6));
    let started = base::Clock::real().instant();
    assert_eq!(ask(from, "slow.example.", RecordType::A).0, ResponseCode::NoError);
    assert!(started.elapsed() > Duration::from_secs(1));
    let started = base::Clock::real().instant();
    assert_eq!(ask(from, "quick.example.", RecordType::A).0, ResponseCode::NoError);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn the_api_server_may_be_away() {
    let api = populated();
    let scene = Scene::new(&api);
    api.fault(|_| Some(Error::Connection("away".into())));
    api.drop_watches(true);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ask(&scene.host.namespace, "web.ns.svc.cluster.local.", RecordType::A).1, ["10.96.0.5"]);
}

#[test]
fn bad_questions_get_errors_and_nothing_breaks() {
    let scene = Scene::new(&populated());
    let from = &scene.host.namespace;
    let code =
        |bytes: &[u8]| send_udp(from, bytes).map(|bytes| Message::from_vec(&bytes).unwrap().metadata.response_code);
    let good = question("web.ns.svc.cluster.local.", RecordType::A, None);
    let mut update = good.clone();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(&update.to_vec().unwrap()), Some(ResponseCode::NotImp));
    let mut two = good.clone();
    two.add_query(good.queries[0].clone());
    assert_eq!(code(&two.to_vec().unwrap()), Some(ResponseCode::FormErr));
    let mut chaos = good.clone();
    chaos.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
    assert_eq!(code(&chaos.to_vec().unwrap()), Some(ResponseCode::Refused));
    let mut broken = good.to_vec().unwrap();
    broken.truncate(20);
    assert_eq!(code(&broken), Some(ResponseCode::FormErr));
    // Noise: any answer or none, but the next good question is answered.
    let rng = base::Rng::seeded(5);
    inside(from, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.connect((SERVER, 53)).unwrap();
        for _ in 0..2000 {
            let length = rng.usize(0..200);
            let mut noise: Vec<u8> = (0..length).map(|_| u8::try_from(rng.u64(0..256)).unwrap()).collect();
            if let Some(flags) = noise.get_mut(2) {
                *flags &= 0x7f;
            }
            let _ = socket.send(&noise);
        }
        let mut stream = TcpStream::connect((SERVER, 53)).unwrap();
        let _ = stream.write_all(&[0xff; 64]);
    });
    // A question may be lost in a full socket, as on any network: clients ask again.
    let good = good.to_vec().unwrap();
    assert_eq!((0..5).find_map(|_| code(&good)), Some(ResponseCode::NoError));
}

#[test]
fn a_taken_port_is_named_and_the_address_is_removed_at_the_end() {
    let api = populated();
    let scene = Scene::new(&api);
    let error = scene.start(&api).unwrap_err().to_string();
    assert!(error.contains("10.96.0.10:53") && error.contains("another name server"), "{error}");
    inside(&scene.host.namespace, || crate::remove("other").unwrap());
    assert_eq!(ask(&scene.host.namespace, "web.ns.svc.cluster.local.", RecordType::A).0, ResponseCode::NoError);
    inside(&scene.host.namespace, || crate::remove("kt1").unwrap());
    let addresses = inside(&scene.host.namespace, || sys::net::Rtnetlink::open().unwrap().addresses().unwrap());
    assert!(addresses.iter().all(|address| address.address != SERVER));
}

#[test]
#[ignore = "a measurement; run it with --ignored --nocapture"]
fn questions_per_second() {
    let scene = Scene::new(&populated());
    let bytes = question("web.ns.svc.cluster.local.", RecordType::A, None).to_vec().unwrap();
    inside(&scene.host.namespace, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.connect((SERVER, 53)).unwrap();
        let mut buffer = [0; 512];
        let started = base::Clock::real().instant();
        for _ in 0..20_000 {
            socket.send(&bytes).unwrap();
            socket.recv(&mut buffer).unwrap();
        }
        println!("one question and its answer: {:?}", started.elapsed() / 20_000);
    });
}
