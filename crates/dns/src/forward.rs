//! Names outside the cluster: asked of the host's own name servers, and remembered for a while.

use crate::resolv::Resolvers;
use base::Env;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::debug;

/// Questions on their way at once.
const QUESTIONS: usize = 1000;
const ANSWERS: usize = 10_000;
/// Answers are remembered no longer than this, whatever they say.
const REMEMBER: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
/// What fits into one packet nearly everywhere.
const UDP_SIZE: u16 = 1232;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("too many questions are on their way")]
    Busy,
    #[error("the host has no name server")]
    NoServers,
    #[error("no name server answers: {0}")]
    Unanswered(String),
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{server}: {source}")]
    Io { server: SocketAddr, source: io::Error },
    #[error("{0} does not answer in time")]
    Timeout(SocketAddr),
    #[error("{0} answers with something that is no DNS message")]
    Malformed(SocketAddr),
    #[error("{server} answers {code}")]
    Failed { server: SocketAddr, code: ResponseCode },
}

/// What answers depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    name: Name,
    kind: u16,
    signatures: bool,
    unchecked: bool,
}

struct Remembered {
    answer: Message,
    since: Instant,
    until: Instant,
}

#[derive(Default)]
struct Memory {
    answers: BTreeMap<Question, Remembered>,
    by_end: BTreeSet<(Instant, Question)>,
}

pub(crate) struct Forwarder {
    env: Env,
    resolvers: Resolvers,
    permits: Semaphore,
    memory: Mutex<Memory>,
}

impl Forwarder {
    pub fn new(env: &Env, resolvers: Resolvers) -> Self {
        Forwarder { env: env.clone(), resolvers, permits: Semaphore::new(QUESTIONS), memory: Mutex::default() }
    }

    /// The answer to the client's question, to be fitted to what the client can take. Its id is
    /// not the client's.
    pub async fn ask(&self, client: &Message, name: &Name, kind: RecordType) -> Result<Message, ForwardError> {
        let signatures = client.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let question = Question {
            name: name.to_lowercase(),
            kind: kind.into(),
            signatures,
            unchecked: client.metadata.checking_disabled,
        };
        if let Some(answer) = self.remembered(&question) {
            return Ok(answer);
        }
        let _permit = self.permits.try_acquire().map_err(|_| ForwardError::Busy)?;
        let servers = self.resolvers.current(self.env.clock.instant());
        if servers.is_empty() {
            return Err(ForwardError::NoServers);
        }
        let mut last = String::new();
        for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
            match self.ask_server(*server, &question, name).await {
                Ok(answer) => {
                    self.remember(question, &answer);
                    return Ok(answer);
                }
                Err(error) => {
                    debug!(%name, %error, "cannot forward");
                    self.resolvers.failed(*server);
                    last = error.to_string();
                }
            }
        }
        Err(ForwardError::Unanswered(last))
    }

    async fn ask_server(&self, server: SocketAddr, question: &Question, name: &Name) -> Result<Message, AskError> {
        let id = u16::try_from(self.env.rng.u64(0..=0xffff)).unwrap_or(1);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = question.unchecked;
        message.add_query(Query::query(name.clone(), RecordType::from(question.kind)));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE).set_version(0).set_dnssec_ok(question.signatures);
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(|_| AskError::Malformed(server))?;
        let mut answer = self.exchange(server, &message, over_udp(server, &bytes)).await?;
        if answer.metadata.truncation {
            answer = self.exchange(server, &message, over_tcp(server, &bytes)).await?;
        }
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(AskError::Failed { server, code }),
        }
    }

    /// Waits for the answer and checks that it is to our question.
    async fn exchange(
        &self,
        server: SocketAddr,
        sent: &Message,
        answer: impl Future<Output = io::Result<Vec<u8>>>,
    ) -> Result<Message, AskError> {
        let bytes = match self.env.clock.timeout(PATIENCE, answer).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(source)) => return Err(AskError::Io { server, source }),
            Err(_) => return Err(AskError::Timeout(server)),
        };
        let answer = Message::from_vec(&bytes).map_err(|_| AskError::Malformed(server))?;
        let ours = answer.metadata.id == sent.metadata.id
            && answer.metadata.message_type == MessageType::Response
            && answer.queries == sent.queries;
        if ours { Ok(answer) } else { Err(AskError::Malformed(server)) }
    }

    fn remembered(&self, question: &Question) -> Option<Message> {
        let now = self.env.clock.instant();
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let found = memory.answers.get(question).filter(|found| found.until > now)?;
        let age = u32::try_from((now - found.since).as_secs()).unwrap_or(u32::MAX);
        let mut answer = found.answer.clone();
        let records = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in records.into_iter().flatten() {
            record.decrement_ttl(age);
        }
        Some(answer)
    }

    fn remember(&self, question: Question, answer: &Message) {
        let seconds = lifetime(answer);
        if seconds == 0 {
            return;
        }
        let since = self.env.clock.instant();
        let until = since + Duration::from_secs(u64::from(seconds));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = memory.answers.remove(&question) {
            memory.by_end.remove(&(old.until, question.clone()));
        }
        // The one that ends first goes: it may have ended already.
        if memory.answers.len() >= ANSWERS
            && let Some((_, first)) = memory.by_end.pop_first()
        {
            memory.answers.remove(&first);
        }
        memory.by_end.insert((until, question.clone()));
        memory.answers.insert(question, Remembered { answer: answer.clone(), since, until });
    }
}

/// For how many seconds an answer may be given again.
fn lifetime(answer: &Message) -> u32 {
    let records = if answer.answers.is_empty() { &answer.authorities } else { &answer.answers };
    let ttl = records.iter().map(|record| match &record.data {
        // How long an absence holds.
        RData::SOA(soa) if answer.answers.is_empty() => record.ttl.min(soa.minimum),
        _ => record.ttl,
    });
    // An absence without a SOA record says nothing of how long it holds.
    let absent = answer.answers.is_empty() && !records.iter().any(|record| matches!(record.data, RData::SOA(_)));
    if absent { 0 } else { ttl.min().unwrap_or(0).min(REMEMBER) }
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    // A port of its own for each question, and only that server's packets: hard to guess.
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Something with another id is an answer to nobody here.
        if length >= 2 && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Ok(buffer)
}
