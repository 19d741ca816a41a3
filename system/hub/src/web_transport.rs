//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3), as much of it as a live map needs: a connection is one session with one
//! stream. Frames and header compression are `web-transport-proto`'s; connection, streams and waiting are the env's.

use hyper::StatusCode;
use quinn::{Connection, RecvStream, SendStream, VarInt as StreamNumber};
use web_transport_proto::{ConnectRequest, ConnectResponse, Frame, Settings, VarInt};

/// Streams with other headers that are passed over before the session's own.
const FOREIGN_STREAMS_MAX: usize = 4;

/// A browser's request for a session, not yet answered.
pub(crate) struct Asked {
    pub(crate) request: ConnectRequest,
    connection: Connection,
    send: SendStream,
    kept: Kept,
}

/// Streams that must stay open as long as the session: settings of both sides (RFC 9114 section 6.2.1), and the request's.
pub(crate) struct Kept {
    _settings: (SendStream, RecvStream),
    _request: (Option<SendStream>, RecvStream),
}

/// Waits for a request; `None` if something else comes.
pub(crate) async fn asked(connection: Connection) -> Option<Asked> {
    let mut own = connection.open_uni().await.ok()?;
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    settings.write(&mut own).await.ok()?;
    let mut theirs = connection.accept_uni().await.ok()?;
    if Settings::read(&mut theirs).await.ok()?.supports_webtransport() == 0 {
        return None;
    }
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let request = ConnectRequest::read(&mut recv).await.ok()?;
    let kept = Kept { _settings: (own, theirs), _request: (None, recv) };
    Some(Asked { request, connection, send, kept })
}

impl Asked {
    /// Says no.
    pub(crate) async fn refuse(mut self, status: StatusCode) {
        let answered = ConnectResponse::new(status).write(&mut self.send).await.is_ok();
        if answered && self.send.finish().is_ok() {
            // Whoever has read it closes the connection.
            self.connection.closed().await;
        }
    }

    /// Says yes, and waits for the session's stream.
    pub(crate) async fn accept(mut self) -> Option<(SendStream, RecvStream, Kept)> {
        let session = StreamNumber::from(self.send.id()).into_inner();
        ConnectResponse::OK.write(&mut self.send).await.ok()?;
        self.kept._request.0 = Some(self.send);
        for _ in 0..FOREIGN_STREAMS_MAX {
            let (send, mut recv) = self.connection.accept_bi().await.ok()?;
            let kind = VarInt::read(&mut recv).await.ok()?;
            if Frame(kind) == Frame::WEBTRANSPORT
                && VarInt::read(&mut recv).await.ok()?.into_inner() == session
            {
                return Some((send, recv, self.kept));
            }
        }
        None
    }
}
