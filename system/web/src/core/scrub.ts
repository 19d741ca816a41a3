/** Where a vehicle was at some time of the past, from its track, and lines of tracks. Pure. */
import { metersBetween } from './mercator'
import type { LonLat, TrackPoint } from './types'

export interface Past { lon: number; lat: number; speedKmh: number; headingDeg: number; ageMs: number; moving: boolean; silent: boolean }

/** Between points further apart in time nothing is guessed: the vehicle stays where it was last seen. */
export const GAP_MS = 60_000

/** A simplified track has no points while a vehicle stands: only a longer gap than this means that nothing was heard. */
export const SILENT_GAP_MS = 15 * 60_000

/** The newest point at or before `time`; -1 if there is none. */
export function pointBefore(points: readonly TrackPoint[], time: number): number {
  let low = 0
  let high = points.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (points[middle]![0] <= time) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Where the vehicle was at `time`; null before its first point. */
export function positionAt(points: readonly TrackPoint[], time: number): Past | null {
  const at = pointBefore(points, time)
  if (at < 0) return null
  const a = points[at]!
  const b = points[at + 1]
  const gap = b ? b[0] - a[0] : Infinity
  // A simplified track has few points on a straight: as long as both ends say that it moved, it did so evenly.
  const between = b !== undefined && (gap <= GAP_MS || (a[3] >= 3 && b[3] >= 3 && gap <= 5 * GAP_MS))
  if (!b || !between) {
    const before = points[at - 1]
    const silent = time - a[0] > GAP_MS && (!b || gap > SILENT_GAP_MS)
    return { lon: a[1], lat: a[2], speedKmh: a[3], headingDeg: before ? heading(before, a) : NaN, ageMs: time - a[0], moving: false, silent }
  }
  const k = gap === 0 ? 0 : (time - a[0]) / gap
  const speed = a[3] + (b[3] - a[3]) * k
  return {
    lon: a[1] + (b[1] - a[1]) * k, lat: a[2] + (b[2] - a[2]) * k, speedKmh: speed, headingDeg: heading(a, b), ageMs: 0,
    moving: speed >= 3, silent: false,
  }
}

/** Degrees clockwise from north; NaN where both points are the same. */
export function heading(a: TrackPoint, b: TrackPoint): number {
  const east = (b[1] - a[1]) * Math.cos((a[2] * Math.PI) / 180)
  const north = b[2] - a[2]
  if (east === 0 && north === 0) return NaN
  return ((Math.atan2(east, north) * 180) / Math.PI + 360) % 360
}

/** Adds a place to the end of a line, and gives up its oldest beyond `most`. False if it ends there already. */
export function grow(line: LonLat[], here: LonLat, most: number): boolean {
  const last = line.at(-1)
  if (last && last[0] === here[0] && last[1] === here[1]) return false
  line.push(here)
  if (line.length > most) line.splice(0, line.length - most)
  return true
}

/** Length in metres. */
export function trackMeters(points: readonly TrackPoint[]): number {
  let total = 0
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1]!, points[at]!]
    total += metersBetween(a[1], a[2], b[1], b[2])
  }
  return total
}
