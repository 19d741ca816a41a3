//! Takes one peer's published messages, one after the other, and grants credit as they are taken.

use drover_env::Value;
use drover_wire::FrameDecoder;
use drover_wire::mcp::{Credit, Frame, PUBLISH_WINDOW, SHARED_FRAME_BYTES_MAX};
use quinn::{RecvStream, SendStream};

use super::{Peer, READ_BYTES, StreamError};
use crate::agent::Message;
use crate::outbox::{Outbox, Writer};

pub(super) async fn serve(peer: &Peer, send: SendStream, mut recv: RecvStream) -> Result<(), StreamError> {
    let mut decoder = FrameDecoder::new(SHARED_FRAME_BYTES_MAX);
    let (outbox, mut writer) = (Outbox::default(), Writer::new(send));
    let (mut taken, mut granted) = (0, PUBLISH_WINDOW);
    loop {
        let chunk = tokio::select! {
            biased;
            () = peer.cancel.cancelled() => return Ok(()),
            chunk = recv.read_chunk(READ_BYTES, true) => chunk.map_err(|_| StreamError::Gone)?,
        };
        let Some(chunk) = chunk else { return Ok(()) };
        decoder.push(&chunk.bytes);
        while let Some((kind, body)) = decoder.next_frame()? {
            let publish = match Frame::decode(kind, &body)? {
                Frame::Publish(publish) => publish,
                frame => return Err(frame.unexpected().into()),
            };
            taken += 1;
            if taken > granted {
                return Err(Frame::Publish(publish).unexpected().into());
            }
            let message = Message {
                from: peer.name,
                topic: publish.topic.unwrap_or_default(),
                body: publish.body.unwrap_or_default(),
            };
            match peer.agent.deliver(message) {
                Some(taking) => taking.await,
                None => peer.env.event("bus.publish_refused", &[("reason", Value::Str("not_wanted"))]),
            }
            // Half a window at a time: credit arrives before the publisher has used the other half.
            if taken + PUBLISH_WINDOW / 2 >= granted {
                granted = taken + PUBLISH_WINDOW;
                outbox.push(&Frame::Credit(Credit { messages: Some(granted) }));
            }
        }
        writer.flush(&outbox).await.map_err(|_| StreamError::Gone)?;
    }
}
