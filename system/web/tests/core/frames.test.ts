import { describe, expect, it } from 'vitest'

import { BINARY, CLOSE, closeCode, frame, Frames, OPEN, StreamError, TEXT } from '../../src/core/frames'

function read(bytes: Uint8Array, pieces: number): { kind: number; body: number[] }[] {
  const frames = new Frames()
  const found: { kind: number; body: number[] }[] = []
  for (let at = 0; at < bytes.length; at += pieces) {
    frames.push(bytes.subarray(at, at + pieces))
    for (let next = frames.next(); next; next = frames.next()) found.push({ kind: next.kind, body: [...next.body] })
  }
  return found
}

describe('frames', () => {
  it('read back, however the stream cuts them', () => {
    const long = new Uint8Array(20_000).map((_, at) => at)
    const made = [frame(OPEN, new TextEncoder().encode('drover.bin')), frame(TEXT), frame(BINARY, long), frame(CLOSE, Uint8Array.of(0x11, 0x9c))]
    expect([...made[0]!.subarray(0, 2)]).toEqual([11, 0x10])
    const bytes = Uint8Array.from(made.flatMap((each) => [...each]))
    const expected = [{ kind: OPEN, body: [...new TextEncoder().encode('drover.bin')] }, { kind: TEXT, body: [] }, { kind: BINARY, body: [...long] }, { kind: CLOSE, body: [0x11, 0x9c] }]
    for (const pieces of [1, 7, 1_000, bytes.length]) expect(read(bytes, pieces)).toEqual(expected)
  })

  it('have a close code, or none', () => {
    expect([closeCode(Uint8Array.of(0x11, 0x9c)), closeCode(new Uint8Array())]).toEqual([4508, 1005])
  })

  it('that are none end the stream', () => {
    expect(() => read(Uint8Array.of(0), 1)).toThrow(StreamError)
    expect(() => read(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 1), 6)).toThrow(StreamError)
    expect(() => read(Uint8Array.of(0xff, 0xff, 0xff, 0x7f), 4)).toThrow(StreamError)
  })
})
