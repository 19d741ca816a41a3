/**
 * What carries a session: WebTransport where the hub offers it and it comes about in time, else a WebSocket, which always works.
 * Drivers of browser APIs; what is decided is decided in `core`.
 */
import type { Config } from '../core/types'
import { BINARY, CLOSE, closeCode, frame, Frames, OPEN, PING, PONG, TEXT } from '../core/frames'

type Offer = NonNullable<Config['web_transport']>
export type Form = 'drover.bin' | 'drover.json'
export type Kind = 'web_transport' | 'web_socket'

export interface CarrierListener {
  opened(kind: Kind): void
  text(text: string): void
  binary(bytes: ArrayBuffer): void
  closed(code: number): void
}

export interface Carrier {
  send(text: string): void
  close(): void
}

/** Longest wait for WebTransport before a WebSocket takes its place. */
export const TRANSPORT_WITHIN_MS = 1_500
/** After a failure browsers answer attempts ever later: it is not tried again so soon. */
export const TRANSPORT_AGAIN_MS = 300_000
/** Close code of a carrier that broke off (RFC 6455, section 7.1.5). */
const ABNORMAL = 1006
/** What a browser closes WebTransport with when it leaves. */
const LEFT = { closeCode: 1000, reason: '' }

/** A carrier that has come about, and tells of itself from `start` on. */
interface Opened extends Carrier {
  start(): void
}

let failedAt: number | null = null

/**
 * Opens what carries a session, to `origin`; null is the page's own. The listener hears nothing more once it is closed.
 * What another hub offers of WebTransport only that hub tells: there a WebSocket carries.
 */
export function openCarrier(form: Form, listener: CarrierListener, origin: string | null): Carrier {
  const choice: { carrier: Carrier | null; given: boolean } = { carrier: null, given: false }
  const begin = async () => {
    const transport = origin === null ? await openTransport(form, listener, () => choice.given) : null
    if (choice.given) return transport?.close()
    const carrier = transport ?? openSocket(form, listener, origin ?? location.origin)
    choice.carrier = carrier
    carrier.start()
  }
  void begin()
  return {
    send: (text) => choice.carrier?.send(text),
    close: () => {
      choice.given = true
      choice.carrier?.close()
    },
  }
}

function openSocket(form: Form, listener: CarrierListener, origin: string): Opened {
  const socket = new WebSocket(`${origin.replace(/^http/, 'ws')}/live-map`, [form])
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => listener.opened('web_socket')
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => (typeof data === 'string' ? listener.text(data) : listener.binary(data))
  socket.onclose = ({ code }) => listener.closed(code)
  return {
    // It says so itself when it is open.
    start: () => undefined,
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text)
    },
    close: () => {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close()
    },
  }
}

/** Null if the hub does not offer it, or it does not come about in time. */
async function openTransport(form: Form, listener: CarrierListener, given: () => boolean): Promise<Opened | null> {
  if (typeof WebTransport === 'undefined') return null
  if (failedAt !== null && performance.now() - failedAt < TRANSPORT_AGAIN_MS) return null
  const late = new Promise<null>((resolve) => setTimeout(resolve, TRANSPORT_WITHIN_MS, null))
  let transport: WebTransport | null = null
  const opening = async () => {
    const offer = await offered()
    if (offer === null || given()) return null
    transport = new WebTransport(address(offer), offer.hashes.length ? { serverCertificateHashes: offer.hashes.map(hash) } : {})
    // A failure is told by `ready`; nobody waits for this one yet.
    transport.closed.catch(() => undefined)
    await transport.ready
    return { transport, stream: await transport.createBidirectionalStream() }
  }
  const opened = await Promise.race([opening().catch(() => null), late])
  if (opened === null) {
    if (transport !== null && !given()) {
      failedAt = performance.now()
      close(transport)
    }
    return null
  }
  failedAt = null
  return carry(opened.transport, opened.stream, form, listener)
}

async function offered(): Promise<Offer | null> {
  const answer = await fetch('/config.json', { cache: 'no-store' })
  if (!answer.ok) return null
  return ((await answer.json()) as Config).web_transport ?? null
}

function address({ port }: Offer): string {
  // Browsers try IPv6 alone for QUIC to that name.
  const name = location.hostname === 'localhost' ? '127.0.0.1' : location.hostname
  return `https://${name}:${port}/live-map`
}

function hash(hex: string): WebTransportHash {
  return { algorithm: 'sha-256', value: Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16)) }
}

function close(transport: WebTransport): void {
  try {
    transport.close(LEFT)
  } catch {
    // It is closed already.
  }
}

function carry(transport: WebTransport, stream: WebTransportBidirectionalStream, form: Form, listener: CarrierListener): Opened {
  const writer = (stream.writable as WritableStream<Uint8Array>).getWriter()
  const text = new TextEncoder()
  let open = true
  // A write that fails is followed by the end of the stream.
  const write = (kind: number, body?: Uint8Array) => void (open && writer.write(frame(kind, body)).catch(() => undefined))
  const end = (code: number) => {
    if (!open) return
    open = false
    writer.close().catch(() => undefined)
    listener.closed(code)
  }
  const take = ({ kind, body }: { kind: number; body: Uint8Array }) => {
    if (kind === TEXT) listener.text(new TextDecoder().decode(body))
    else if (kind === BINARY) listener.binary(body.slice().buffer as ArrayBuffer)
    else if (kind === PING) write(PONG)
    else if (kind === CLOSE) end(closeCode(body))
  }
  const read = async () => {
    const frames = new Frames()
    const reader = (stream.readable as ReadableStream<Uint8Array>).getReader()
    while (open) {
      const { value, done } = await reader.read()
      if (done) break
      frames.push(value)
      for (let next = frames.next(); next !== null && open; next = frames.next()) take(next)
    }
  }
  return {
    start: () => {
      write(OPEN, text.encode(form))
      listener.opened('web_transport')
      read().catch(() => close(transport)).finally(() => end(ABNORMAL))
    },
    send: (message) => write(TEXT, text.encode(message)),
    close: () => {
      open = false
      close(transport)
    },
  }
}
