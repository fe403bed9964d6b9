//! Reading what a request carries, within bounds, and letting those who sent too much hear so. What the
//! bytes mean is the decoder's business.

use base::Clock;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use meta::Status;
use std::time::Duration;

/// Upstream's bound on a request's body.
const MAX_BODY: usize = 3 << 20;
/// So much of a body that is too big is thrown away before the answer: many clients read no answer
/// before they have sent all, and a connection that ends meanwhile takes the answer with it.
const MAX_THROWN_AWAY: usize = 64 << 20;
const THROWING_AWAY: Duration = Duration::from_secs(10);

/// The whole body.
///
/// # Errors
/// It is too big, or the client went away.
pub async fn read(mut body: Incoming, headers: &HeaderMap, clock: &Clock) -> Result<Bytes, Status> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large(body, headers, clock).await);
    }
    match Limited::new(&mut body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(body, headers, clock).await),
        Err(error) => Err(Status::bad_request(format!("cannot read the request's body: {error}"))),
    }
}

async fn too_large(body: Incoming, headers: &HeaderMap, clock: &Clock) -> Status {
    // Who asks before he sends has not sent anything.
    if !headers.contains_key(header::EXPECT) {
        // What is left then was more than anybody sends by mistake.
        let _ = clock.timeout(THROWING_AWAY, throw_away(body)).await;
    }
    Status::too_large(format!("limit is {MAX_BODY}"))
}

async fn throw_away(mut body: Incoming) {
    let mut room = MAX_THROWN_AWAY;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match room.checked_sub(length) {
            Some(left) => room = left,
            None => return,
        }
    }
}
