//! One question, one answer: checks the message, asks the zone or the forwarder, and fits the
//! answer to what the client can take.

use crate::forward::{ForwardError, Forwarder};
use crate::zone::{Answer, Zone};
use base::Env;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use tracing::debug;

/// Aliases followed within one question.
const ALIASES: usize = 8;
/// What a client without EDNS can take over UDP.
const SMALL: u16 = 512;
const LARGEST_UDP: u16 = 4096;

/// How the question came, and so how long the answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A question that has been read.
pub(crate) struct Question {
    message: Message,
    transport: Transport,
}

/// What reading gives.
pub(crate) enum Read {
    /// Not worth an answer: too short, or itself an answer.
    Ignore,
    Answer(Vec<u8>),
    /// Somebody else has to be asked.
    Ask(Question),
}

pub(crate) struct Responder {
    pub zone: Zone,
    pub forwarder: Forwarder,
    pub env: Env,
}

impl Responder {
    /// Answers what can be answered at once.
    pub fn read(&self, bytes: &[u8], transport: Transport) -> Read {
        let message = match Message::from_vec(bytes) {
            Ok(message) if message.metadata.message_type == MessageType::Query => message,
            Ok(_) => return Read::Ignore,
            Err(_) => return malformed(bytes),
        };
        let question = Question { message, transport };
        let refusal = question.refusal();
        if let Some(code) = refusal {
            return Read::Answer(question.fail(code));
        }
        let Some(query) = question.message.queries.first() else { return Read::Ignore };
        match self.zone.resolve(query.name(), query.query_type()) {
            Answer::NotOurs | Answer::Alias { .. } => Read::Ask(question),
            answer => Read::Answer(self.zone_answer(&question, vec![], answer)),
        }
    }

    /// Answers what needs others.
    pub async fn ask(&self, question: Question) -> Vec<u8> {
        let Some(query) = question.message.queries.first() else { return question.fail(ResponseCode::FormErr) };
        let (mut name, kind) = (query.name().clone(), query.query_type());
        let mut aliases: Vec<Record> = vec![];
        while aliases.len() < ALIASES {
            match self.zone.resolve(&name, kind) {
                Answer::Alias { record, target } => {
                    aliases.push(*record);
                    name = target;
                }
                Answer::NotOurs => return self.others_answer(&question, aliases, &name, kind).await,
                answer => return self.zone_answer(&question, aliases, answer),
            }
        }
        question.fail(ResponseCode::ServFail)
    }

    fn zone_answer(&self, question: &Question, aliases: Vec<Record>, answer: Answer) -> Vec<u8> {
        let mut response = question.response();
        response.metadata.authoritative = true;
        response.answers = aliases;
        match answer {
            Answer::Records { mut answers, additionals } => {
                // Clients take the first: each gets another one.
                self.env.rng.shuffle(&mut answers);
                response.answers.extend(answers);
                response.additionals = additionals;
            }
            Answer::NoData => response.authorities = vec![self.zone.soa()],
            Answer::NoName => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.authorities = vec![self.zone.soa()];
            }
            Answer::NotReady | Answer::NotOurs | Answer::Alias { .. } => {
                return question.fail(ResponseCode::ServFail);
            }
        }
        question.encode(&response)
    }

    async fn others_answer(&self, question: &Question, aliases: Vec<Record>, name: &Name, kind: RecordType) -> Vec<u8> {
        match self.forwarder.ask(&question.message, name, kind).await {
            Ok(answer) => {
                let mut response = question.response();
                response.metadata.response_code = answer.metadata.response_code;
                response.metadata.authentic_data = answer.metadata.authentic_data && aliases.is_empty();
                // The alias exists, whatever its target does.
                if !aliases.is_empty() {
                    response.metadata.response_code = ResponseCode::NoError;
                }
                response.answers = aliases;
                response.answers.extend(answer.answers);
                response.authorities = answer.authorities;
                response.additionals = answer.additionals;
                question.encode(&response)
            }
            Err(error) => {
                debug!(%name, %error, "cannot look up a name outside the cluster");
                let busy = matches!(error, ForwardError::Busy);
                question.fail(if busy { ResponseCode::Refused } else { ResponseCode::ServFail })
            }
        }
    }
}

impl Question {
    /// Why the question is not looked at.
    fn refusal(&self) -> Option<ResponseCode> {
        if self.message.metadata.op_code != OpCode::Query {
            return Some(ResponseCode::NotImp);
        }
        let [query] = &self.message.queries[..] else { return Some(ResponseCode::FormErr) };
        if self.message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(ResponseCode::BADVERS);
        }
        (query.query_class() != DNSClass::IN).then_some(ResponseCode::Refused)
    }

    /// An empty answer to this question.
    fn response(&self) -> Message {
        let asked = &self.message.metadata;
        let mut response = Message::response(asked.id, asked.op_code);
        response.metadata.recursion_desired = asked.recursion_desired;
        response.metadata.checking_disabled = asked.checking_disabled;
        response.metadata.recursion_available = true;
        response.queries.clone_from(&self.message.queries);
        if let Some(edns) = &self.message.edns {
            let mut own = Edns::new();
            own.set_max_payload(LARGEST_UDP).set_version(0).set_dnssec_ok(edns.flags().dnssec_ok);
            response.edns = Some(own);
        }
        response
    }

    fn fail(&self, code: ResponseCode) -> Vec<u8> {
        let mut response = self.response();
        response.metadata.response_code = code;
        self.encode(&response)
    }

    /// Records that do not fit are left out and the answer says so: the client asks again over TCP.
    fn encode(&self, response: &Message) -> Vec<u8> {
        let limit = match (self.transport, &self.message.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => SMALL,
            (Transport::Udp, Some(edns)) => edns.max_payload().clamp(SMALL, LARGEST_UDP),
        };
        match encode(response, limit) {
            Some(bytes) => bytes,
            // Not even the rest fits beside so many records: the question alone, then.
            None => encode(&response.truncate(), limit).unwrap_or_default(),
        }
    }
}

fn encode(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// The answer to something that is no DNS message but has a header.
fn malformed(bytes: &[u8]) -> Read {
    const HEADER: usize = 12;
    const IS_ANSWER: u8 = 0x80;
    match bytes {
        [high, low, flags, ..] if bytes.len() >= HEADER && flags & IS_ANSWER == 0 => {
            let id = u16::from_be_bytes([*high, *low]);
            let error = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
            error.to_vec().map_or(Read::Ignore, Read::Answer)
        }
        _ => Read::Ignore,
    }
}
