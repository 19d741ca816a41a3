/**
 * Positions as binary frames (subprotocol `drover.bin`): a header of 16 bytes, then 24 bytes per vehicle, little endian.
 * Pure: bytes in, a callback per record out; nothing is allocated per record.
 */
import type { Status } from './types'

export const HEADER_BYTES = 16
export const RECORD_BYTES = 24
export const KIND_POSITIONS = 1
const FLAG_SNAPSHOT = 1
const UNKNOWN_U16 = 0xffff
const TWO_32 = 2 ** 32

export const STATUSES: readonly Status[] = ['moving', 'idling', 'stopped', 'silent']

export interface FrameHeader { seq: number; serverTimeMs: number; snapshot: boolean; records: number }

/** One record. The object is used again for the next one: copy what is to be kept. */
export interface PositionRecord {
  handle: number
  lon: number
  lat: number
  /** Kilometres per hour; NaN when the vehicle does not tell. */
  speedKmh: number
  /** Degrees clockwise from north; NaN when unknown. */
  headingDeg: number
  /** Index into STATUSES. */
  status: number
  /** Age at the server when sent, in milliseconds; at least that where it is `AGE_MAX_MS`. */
  ageMs: number
  /** Unix time of the fix in milliseconds. */
  fixTimeMs: number
}

/** An age that no longer fits: "so old, or older". */
export const AGE_MAX_MS = UNKNOWN_U16 * 100

/** Why a frame was refused, and where. */
export class FrameError extends Error {}

/** Unix milliseconds whose low 32 bits are `low`, as near to `near` as can be (within 24 days). */
export function fullTime(low: number, near: number): number {
  const base = Math.floor(near / TWO_32) * TWO_32 + low
  if (base - near > TWO_32 / 2) return base - TWO_32
  if (near - base > TWO_32 / 2) return base + TWO_32
  return base
}

/**
 * Reads a frame and calls `each` per record.
 * @throws FrameError for another kind, an impossible record size or a cut record. A record longer than ours is read up to
 * what we know, so that fields can be added at its end.
 */
export function decodePositions(buffer: ArrayBuffer, each: (record: PositionRecord) => void): FrameHeader {
  const view = new DataView(buffer)
  if (view.byteLength < HEADER_BYTES) throw new FrameError(`frame of ${view.byteLength} bytes has no header of ${HEADER_BYTES}`)
  const kind = view.getUint8(0)
  if (kind !== KIND_POSITIONS) throw new FrameError(`frame of unknown kind ${kind}`)
  const size = view.getUint16(2, true)
  if (size < RECORD_BYTES) throw new FrameError(`records of ${size} bytes are shorter than ${RECORD_BYTES}`)
  const body = view.byteLength - HEADER_BYTES
  if (body % size !== 0) throw new FrameError(`${body} bytes are no whole number of records of ${size}`)
  const serverTimeMs = view.getFloat64(8, true)
  const record: PositionRecord = {
    handle: 0, lon: 0, lat: 0, speedKmh: NaN, headingDeg: NaN, status: 3, ageMs: 0, fixTimeMs: 0,
  }
  for (let at = HEADER_BYTES; at < view.byteLength; at += size) {
    const speed = view.getUint16(at + 12, true)
    const heading = view.getUint16(at + 14, true)
    record.handle = view.getUint32(at, true)
    record.lon = view.getInt32(at + 4, true) / 1e7
    record.lat = view.getInt32(at + 8, true) / 1e7
    record.speedKmh = speed === UNKNOWN_U16 ? NaN : speed * 0.036
    record.headingDeg = heading === UNKNOWN_U16 ? NaN : heading / 100
    record.status = Math.min(view.getUint8(at + 16), STATUSES.length - 1)
    record.ageMs = view.getUint16(at + 18, true) * 100
    record.fixTimeMs = fullTime(view.getUint32(at + 20, true), serverTimeMs)
    each(record)
  }
  return {
    seq: view.getUint32(4, true), serverTimeMs, snapshot: (view.getUint8(1) & FLAG_SNAPSHOT) !== 0, records: body / size,
  }
}
