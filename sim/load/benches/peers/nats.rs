//! As much of NATS's client protocol (docs.nats.io, "Client Protocol") and of JetStream's API as a vehicle and a consumer need.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Name of the stream, and of the consumer.
pub(crate) const STREAM: &str = "T";
const CONSUMER: &str = "C";

pub(crate) fn connect(out: &mut BytesMut) {
    out.put_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"lang\":\"bench\",\"version\":\"1\",\"headers\":true}\r\n");
}

pub(crate) fn subscribe(subject: &str, id: u32, out: &mut BytesMut) {
    out.put_slice(format!("SUB {subject} {id}\r\n").as_bytes());
}

pub(crate) fn ping(out: &mut BytesMut) {
    out.put_slice(b"PING\r\n");
}

pub(crate) fn pong(out: &mut BytesMut) {
    out.put_slice(b"PONG\r\n");
}

pub(crate) fn publish(subject: &str, reply: &str, payload: &[u8], out: &mut BytesMut) {
    out.put_slice(format!("PUB {subject} {reply} {}\r\n", payload.len()).as_bytes());
    out.put_slice(payload);
    out.put_slice(b"\r\n");
}

/// A stream of file storage, one replica, that keeps what it is told until it is removed.
pub(crate) fn make_stream(reply: &str, out: &mut BytesMut) {
    let stream = format!(
        "{{\"name\":\"{STREAM}\",\"subjects\":[\"t.>\"],\"retention\":\"limits\",\"storage\":\"file\",\"num_replicas\":1,\
         \"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"discard\":\"old\"}}"
    );
    publish(&format!("$JS.API.STREAM.CREATE.{STREAM}"), reply, stream.as_bytes(), out);
}

/// A durable consumer that is pulled from; each message is acknowledged by itself.
pub(crate) fn make_consumer(reply: &str, out: &mut BytesMut) {
    let consumer = format!(
        "{{\"stream_name\":\"{STREAM}\",\"config\":{{\"durable_name\":\"{CONSUMER}\",\"ack_policy\":\"explicit\",\
         \"deliver_policy\":\"all\",\"ack_wait\":30000000000,\"max_ack_pending\":20000,\"max_waiting\":512}}}}"
    );
    let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{CONSUMER}");
    publish(&subject, reply, consumer.as_bytes(), out);
}

/// Asks for so many messages.
pub(crate) fn pull(reply: &str, batch: usize, out: &mut BytesMut) {
    let request = format!("{{\"batch\":{batch},\"expires\":5000000000}}");
    publish(&format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"), reply, request.as_bytes(), out);
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Who it is.
    Info,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// A message: to which subject, where an answer goes, what is in it. One with headers alone has none of ours.
    Message { subject: String, reply: Option<String>, payload: Bytes, is_status: bool },
    /// Something is wrong.
    Error(String),
    /// Anything else.
    Other,
}

/// The next whole thing that is said, if there is one.
pub(crate) fn next(buffer: &mut BytesMut) -> Option<Said> {
    let end = buffer.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let said = match words.as_slice() {
        ["MSG", subject, _, rest @ .., len] => {
            let len: usize = len.parse().ok()?;
            return message(buffer, end, subject, rest.first().copied(), 0, len);
        }
        ["HMSG", subject, _, rest @ .., headers, len] => {
            let (headers, len): (usize, usize) = (headers.parse().ok()?, len.parse().ok()?);
            return message(buffer, end, subject, rest.first().copied(), headers, len);
        }
        ["INFO", ..] => Said::Info,
        ["PING"] => Said::Ping,
        ["PONG"] => Said::Pong,
        ["-ERR", ..] => Said::Error(line.clone()),
        _ => Said::Other,
    };
    buffer.advance(end + 2);
    Some(said)
}

fn message(
    buffer: &mut BytesMut,
    end: usize,
    subject: &str,
    reply: Option<&str>,
    headers: usize,
    len: usize,
) -> Option<Said> {
    if buffer.len() < end + 2 + len + 2 {
        return None;
    }
    buffer.advance(end + 2);
    let mut payload = buffer.split_to(len).freeze();
    buffer.advance(2);
    payload.advance(headers);
    let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
    Some(Said::Message { subject, reply, payload, is_status: headers > 0 && len == headers })
}
