/**
 * Frames of a live map session on a stream of QUIC (`live-map/1.0`): varint length, kind, body; the length counts kind and body.
 * Kinds are the opcodes of WebSocket. Pure.
 */
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa
export const OPEN = 0x10

/** Longest frame that is taken: a tick's messages are far shorter. */
export const FRAME_BYTES_MAX = 16 << 20
/** Digits of a length, of seven bits each. */
const LENGTH_BYTES_MAX = 5

export interface Frame { kind: number; body: Uint8Array }

/** The stream is no series of frames: it can not go on. */
export class StreamError extends Error {}

export function frame(kind: number, body: Uint8Array = new Uint8Array()): Uint8Array {
  const head: number[] = []
  for (let rest = body.length + 1; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      head.push(rest)
      break
    }
    head.push((rest % 128) | 0x80)
  }
  const bytes = new Uint8Array(head.length + 1 + body.length)
  bytes.set(head)
  bytes[head.length] = kind
  bytes.set(body, head.length + 1)
  return bytes
}

/** Code of a close frame; 1005 if it has none (RFC 6455, section 7.1.5). */
export function closeCode(body: Uint8Array): number {
  return body.length < 2 ? 1005 : (body[0]! << 8) | body[1]!
}

/** Cuts a stream into frames, however its bytes come. */
export class Frames {
  private held: Uint8Array[] = []
  private length = 0

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.held.push(bytes)
    this.length += bytes.length
  }

  /** The next whole frame; null until more bytes come. Throws `StreamError`. */
  next(): Frame | null {
    const size = this.size()
    if (size === null || this.length < size.head + size.body) return null
    const whole = this.joined()
    const end = size.head + size.body
    this.held = end < whole.length ? [whole.subarray(end)] : []
    this.length -= end
    return { kind: whole[size.head]!, body: whole.subarray(size.head + 1, end) }
  }

  private size(): { head: number; body: number } | null {
    let body = 0
    let head = 0
    for (const part of this.held) {
      for (const byte of part) {
        body += (byte & 0x7f) * 128 ** head
        head++
        if (byte < 0x80) {
          if (body === 0 || body > FRAME_BYTES_MAX) throw new StreamError(`a frame of ${body} bytes`)
          return { head, body }
        }
        if (head === LENGTH_BYTES_MAX) throw new StreamError('a length of more than five bytes')
      }
    }
    return null
  }

  private joined(): Uint8Array {
    if (this.held.length === 1) return this.held[0]!
    const whole = new Uint8Array(this.length)
    let at = 0
    for (const part of this.held) {
      whole.set(part, at)
      at += part.length
    }
    return whole
  }
}
