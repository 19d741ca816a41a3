import { describe, expect, it } from 'vitest'

import { decodePositions, FrameError, fullTime, type PositionRecord } from '../../src/core/binary'

/** Two vehicles, packed by Python's `struct` as "<BBHId" and "<IiiHHBBHI": not by code of ours. */
const GOLDEN = [
  '010118002a00000000b0df8bd5ca7942',
  '07000000a0c5e10e60bddd235802a05f00000a0013ba58ad',
  '08000000012eb69401175bcaffffffff0300fffffbe0eaac',
].join('')
const TIME_MS = 1772434800123

function bytes(hex: string): ArrayBuffer {
  const out = new Uint8Array(hex.length / 2)
  for (let at = 0; at < out.length; at++) out[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16)
  return out.buffer
}

function decode(hex: string): { header: ReturnType<typeof decodePositions>; records: PositionRecord[] } {
  const records: PositionRecord[] = []
  const header = decodePositions(bytes(hex), (record) => records.push({ ...record }))
  return { header, records }
}

describe('binary positions', () => {
  it('golden bytes give their values', () => {
    const { header, records } = decode(GOLDEN)
    expect(header).toEqual({ seq: 42, serverTimeMs: TIME_MS, snapshot: true, records: 2 })
    expect(records[0]).toEqual({ handle: 7, lon: 24.9677216, lat: 60.1734496, speedKmh: 21.599999999999998, headingDeg: 244.8, status: 0, ageMs: 1000, fixTimeMs: TIME_MS - 1000 })
    expect(records[1]).toEqual({ handle: 8, lon: -179.9999999, lat: -89.9999999, speedKmh: NaN, headingDeg: NaN, status: 3, ageMs: 6_553_500, fixTimeMs: TIME_MS - 7_200_000 })
  })

  it('longer records of a later server are read up to what we know', () => {
    const longer = GOLDEN.slice(0, 4) + '1a00' + GOLDEN.slice(8, 80) + 'abcd'
    expect(decode(longer).records[0]!.handle).toBe(7)
  })

  it.each([
    ['a short header', GOLDEN.slice(0, 20), 'no header'],
    ['another kind', '02' + GOLDEN.slice(2), 'unknown kind 2'],
    ['a cut record', GOLDEN.slice(0, -2), 'no whole number'],
    ['records shorter than ours', GOLDEN.slice(0, 4) + '0800' + GOLDEN.slice(8), 'shorter than 24'],
  ])('%s is refused', (_, hex, says) => {
    expect(() => decode(hex)).toThrow(FrameError)
    expect(() => decode(hex)).toThrow(says)
  })

  it('times come back from their low half, on either side of a wrap', () => {
    const wrap = 409 * 2 ** 32
    for (const time of [wrap - 5, wrap + 5, wrap + 1_000_000]) {
      for (const near of [time - 40_000, time + 40_000]) expect(fullTime(time % 2 ** 32, near)).toBe(time)
    }
  })
})
