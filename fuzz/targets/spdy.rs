//! Frames of SPDY from a peer that may say anything, to a server and to a client.
#![no_main]

use base::Clock;
use libfuzzer_sys::fuzz_target;
use streams::spdy::{Role, SpdyStream, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;

/// More streams than a forwarding has; the rest are dropped, as one that is not wanted.
const KEPT: usize = 4;

async fn answer(mut stream: SpdyStream) {
    let _ = stream.write_all(b"answer").await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        for role in [Role::Server, Role::Client] {
            let (mut near, far) = duplex(64 << 10);
            let (mut session, life) = start(far, role, Clock::real());
            let peer = async {
                let _ = near.write_all(data).await;
                let _ = near.shutdown().await;
                let _ = tokio::io::copy(&mut near, &mut tokio::io::sink()).await;
            };
            let user = async {
                let own = if role == Role::Client { session.open(&[("streamtype", "data")]).await.ok() } else { None };
                // Each is read beside the others: one that nobody reads stops them all, which is meant.
                let mut kept = JoinSet::new();
                if let Some(stream) = own {
                    kept.spawn(answer(stream));
                }
                while let Some(stream) = session.accept().await {
                    let _ = stream.header("streamtype");
                    if kept.len() < KEPT {
                        kept.spawn(answer(stream));
                    }
                }
                kept.join_all().await;
            };
            let _ = tokio::join!(peer, life, user);
        }
    });
});
