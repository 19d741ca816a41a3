//! As much of MQTT 3.1.1 (OASIS standard) as a vehicle and a consumer need: CONNECT, PUBLISH and PUBACK at QoS 1, SUBSCRIBE.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
/// Longer than any pause in this load.
const KEEP_ALIVE_S: u16 = 300;

fn put_packet(kind: u8, body_len: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    let mut rest = body_len;
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        out.put_u8(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return;
        }
    }
}

fn put_string(text: &str, out: &mut BytesMut) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// A session that outlives its connections.
pub(crate) fn connect(client: &str, out: &mut BytesMut) {
    put_packet(CONNECT, 10 + 2 + client.len(), out);
    put_string("MQTT", out);
    out.put_u8(4);
    // Clean session off.
    out.put_u8(0);
    out.put_u16(KEEP_ALIVE_S);
    put_string(client, out);
}

pub(crate) fn publish(topic: &str, id: u16, payload: &[u8], out: &mut BytesMut) {
    put_packet(PUBLISH_QOS1, 2 + topic.len() + 2 + payload.len(), out);
    put_string(topic, out);
    out.put_u16(id);
    out.put_slice(payload);
}

pub(crate) fn puback(id: u16, out: &mut BytesMut) {
    put_packet(PUBACK, 2, out);
    out.put_u16(id);
}

pub(crate) fn subscribe(filter: &str, out: &mut BytesMut) {
    put_packet(SUBSCRIBE, 2 + 2 + filter.len() + 1, out);
    out.put_u16(1);
    put_string(filter, out);
    out.put_u8(1);
}

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It takes the session, or not: 0 is yes.
    Connack(u8),
    /// It has this message.
    Puback(u16),
    /// A message.
    Publish { id: u16, payload: Bytes },
    /// Anything else.
    Other,
}

/// The next whole packet, if there is one.
pub(crate) fn next(buffer: &mut BytesMut) -> Option<Said> {
    let (mut len, mut header) = (0usize, 1);
    loop {
        let byte = *buffer.get(header)?;
        len |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if buffer.len() < header + len {
        return None;
    }
    let kind = buffer[0];
    buffer.advance(header);
    let mut body = buffer.split_to(len).freeze();
    Some(match kind & 0xf0 {
        CONNACK if len >= 2 => Said::Connack(body[1]),
        PUBACK if len >= 2 => Said::Puback(body.get_u16()),
        // QoS 1, maybe said again.
        0x30 if kind & 0x06 == 0x02 && len >= 2 => {
            let topic = usize::from(body.get_u16());
            body.advance(topic);
            Said::Publish { id: body.get_u16(), payload: body }
        }
        _ => Said::Other,
    })
}
