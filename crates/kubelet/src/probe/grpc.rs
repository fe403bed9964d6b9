//! gRPC health checks (`grpc.health.v1.Health/Check`), written by hand: one small message each way.

use super::Outcome;
use super::handler::connect;
use base::Env;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::IpAddr;
use std::time::Duration;

const UNIMPLEMENTED: &str = "12";
const SERVING: u64 = 1;
const BODY_LIMIT: usize = 64 << 10;

pub(super) async fn check(env: &Env, address: IpAddr, port: u16, service: &str, limit: Duration) -> Outcome {
    let shown = std::net::SocketAddr::new(address, port).to_string();
    let within = crate::crash_backoff::go_millis(limit.as_millis());
    let unreachable =
        |why: &str| Outcome::Failure(format!("timeout: failed to connect service {shown:?} within {within}: {why}"));
    let stream = match connect(env, &address.to_string(), port, limit).await {
        Ok(stream) => stream,
        Err(_) => return unreachable("context deadline exceeded"),
    };
    match env.clock.timeout(limit, call(env, stream, &shown, service)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(text)) => Outcome::Failure(format!("error: health rpc probe failed: {text}")),
        Err(_) => Outcome::Failure(format!("timeout: health rpc did not complete within {within}")),
    }
}

async fn call(env: &Env, stream: tokio::net::TcpStream, authority: &str, service: &str) -> Result<Outcome, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(text)?;
    let task = env.tasks.spawn("probe connection", async move {
        // How it ended shows in the answer.
        let _ = connection.await;
    });
    let outcome = async {
        let request = http::Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("user-agent", "kube-probe/1.37")
            .header("te", "trailers")
            .body(Full::new(question(service)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(text)?;
        let headers = response.headers().clone();
        let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await.map_err(|error| error.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let field = |name: &str| trailers.get(name).or_else(|| headers.get(name)).and_then(|value| value.to_str().ok());
        let status = field("grpc-status").unwrap_or("2");
        let message = field("grpc-message").unwrap_or("");
        Ok(judge(status, message, &body.to_bytes()))
    }
    .await;
    task.abort();
    outcome
}

fn judge(status: &str, message: &str, body: &[u8]) -> Outcome {
    if status == UNIMPLEMENTED {
        let text = format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        );
        return Outcome::Failure(text);
    }
    if status != "0" {
        return Outcome::Failure(format!("error: health rpc probe failed: {message}"));
    }
    match serving_status(body) {
        SERVING => Outcome::Success,
        other => {
            let name = match other {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "UNRECOGNIZED",
            };
            Outcome::Failure(format!("service unhealthy (responded with {name:?})"))
        }
    }
}

/// HealthCheckRequest: field 1, the service's name.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.extend_from_slice(&[0x0a]);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = BytesMut::from(&[0u8][..]);
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&message);
    frame.freeze()
}

fn put_varint(out: &mut BytesMut, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        out.extend_from_slice(&[if number == 0 { low } else { low | 0x80 }]);
        if number == 0 {
            return;
        }
    }
}

/// HealthCheckResponse: field 1, an enum; absent: 0.
fn serving_status(body: &[u8]) -> u64 {
    match body.get(5..) {
        Some([0x08, status, ..]) => u64::from(*status),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_in_upstreams_words() {
        let body = |status: u8| [0, 0, 0, 0, 2, 8, status];
        assert_eq!(judge("0", "", &body(1)), Outcome::Success);
        assert_eq!(
            judge("0", "", &body(2)),
            Outcome::Failure("service unhealthy (responded with \"NOT_SERVING\")".to_owned())
        );
        assert!(matches!(judge("12", "no", &[]), Outcome::Failure(text) if text.contains("does not implement")));
        assert_eq!(question("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
    }
}
