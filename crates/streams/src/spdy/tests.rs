//! Two ends of a connection in memory, and a peer that breaks the rules.

use super::*;
use base::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Runs `check` on a client's and a server's end while the connection lives.
async fn connected<F: AsyncFnOnce(Session, Session)>(check: F) {
    let (near, far) = duplex(4096);
    let (client, client_life) = start(near, Role::Client, Clock::real());
    let (server, server_life) = start(far, Role::Server, Clock::real());
    tokio::select! {
        () = check(client, server) => {}
        (client, server) = async { tokio::join!(client_life, server_life) } => panic!("over: {client:?}, {server:?}"),
    }
}

#[tokio::test]
async fn streams_carry_headers_and_bytes_both_ways_and_end_by_halves() {
    connected(async |client, mut server| {
        let mut near = client.open(&[("streamtype", "data"), ("port", "80")]).await.unwrap();
        let mut far = server.accept().await.unwrap();
        assert_eq!((far.header("port"), far.header("other")), (Some("80"), None));
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let echo = async {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            far.write_all(&got).await.unwrap();
            far.shutdown().await.unwrap();
        };
        let ask = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut got = Vec::new();
            near.read_to_end(&mut got).await.unwrap();
            assert!(got == sent);
        };
        tokio::join!(echo, ask);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stream_is_gone_at_both_ends_and_the_others_go_on() {
    connected(async |client, mut server| {
        let mut first = client.open(&[("n", "1")]).await.unwrap();
        let first_far = server.accept().await.unwrap();
        let mut second = client.open(&[("n", "2")]).await.unwrap();
        let mut second_far = server.accept().await.unwrap();
        drop(first_far);
        let mut rest = Vec::new();
        // It ends or breaks, depending on whether the reset has come already.
        let _ = first.read_to_end(&mut rest).await;
        second.write_all(b"still here").await.unwrap();
        let mut got = [0; 10];
        second_far.read_exact(&mut got).await.unwrap();
        assert!(first.write_all(b"x").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn closing_delivers_what_was_written_and_then_ends_everything() {
    let (near, far) = duplex(100);
    let (client, client_life) = start(near, Role::Client, Clock::real());
    let (mut server, server_life) = start(far, Role::Server, Clock::real());
    let serve = async {
        let mut stream = server.accept().await.unwrap();
        stream.write_all(&[7; 50_000]).await.unwrap();
        drop(stream);
        server.close();
    };
    let ask = async {
        let mut stream = client.open(&[]).await.unwrap();
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got).await;
        assert_eq!(got.len(), 50_000);
        client.close();
        client.closer().gone().await;
        assert!(client.open(&[]).await.is_err());
    };
    let (client_end, server_end, (), ()) = tokio::join!(client_life, server_life, serve, ask);
    client_end.unwrap();
    server_end.unwrap();
}

#[tokio::test]
async fn a_lost_connection_breaks_streams_and_waiting_opens() {
    let (near, far) = duplex(4096);
    let (client, life) = start(near, Role::Client, Clock::real());
    let opening = async {
        drop(far);
        client.open(&[]).await.err().unwrap()
    };
    let (_, refused) = tokio::join!(life, opening);
    assert!(matches!(refused.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotConnected));
}

/// What a server answers to raw bytes, until it ends or falls silent.
async fn answer_to(bytes: &[u8]) -> (std::io::Result<()>, Vec<u8>) {
    let (mut near, far) = duplex(1 << 20);
    let (session, life) = start(far, Role::Server, Clock::real());
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let outcome = life.await;
    drop(session);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    (outcome, answer)
}

#[tokio::test]
async fn broken_frames_end_the_connection_and_harmless_ones_do_not() {
    let refused: [&[u8]; 5] = [
        &[0x80, 2, 0, 1, 0, 0, 0, 0],
        &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
        &[0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1],
        &[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 9, 1],
    ];
    for bytes in refused {
        assert!(answer_to(bytes).await.0.is_err(), "{bytes:?}");
    }
    let ignored: [&[u8]; 4] = [
        // SETTINGS, WINDOW_UPDATE, data for no stream, an unknown kind.
        &[0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0],
        &[0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1],
        &[0, 0, 0, 9, 1, 0, 0, 1, 1],
        &[0x80, 3, 0, 99, 0, 0, 0, 0],
    ];
    for bytes in ignored {
        assert!(answer_to(bytes).await.0.is_ok(), "{bytes:?}");
    }
}

/// It would fill a queue that nobody has got yet, and the answer behind it would never be read.
#[tokio::test]
async fn data_before_the_answer_ends_the_stream_and_not_the_connection() {
    let (near, mut far) = duplex(4096);
    let (session, life) = start(near, Role::Client, Clock::real());
    let data = |id: u8| [0, 0, 0, id, 0, 0, 0, 1, b'x'];
    let reset = [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1];
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2];
    let peer = async {
        let mut heard = Vec::new();
        let mut hear = async |what: &[u8], far: &mut DuplexStream| {
            while !heard.ends_with(what) {
                heard.push(far.read_u8().await.unwrap());
            }
        };
        far.write_all(&[data(1); 20].concat()).await.unwrap();
        hear(&reset, &mut far).await;
        // Of a stream that is gone, so it is passed over.
        far.write_all(&data(1)).await.unwrap();
        far.write_all(&ping).await.unwrap();
        hear(&ping, &mut far).await;
    };
    let user = async { assert!(session.open(&[("n", "1")]).await.is_err()) };
    tokio::select! {
        ended = life => panic!("over: {ended:?}"),
        _ = async { tokio::join!(peer, user) } => {}
    }
}
