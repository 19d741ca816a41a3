/** Days and trips of a vehicle, as its panel lists them. Pure. */
import type { DayTotal, LonLat, Trip } from './types'

export const DAY_MS = 86_400_000
/** Days that are listed, today among them. */
export const DAYS = 7

/** The first moment of a day of UTC, as the server counts days. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS
}

export interface DayRow { day: number; total: DayTotal | null; share: number }

/** The last days, newest first, each with its total if it has one and its share of the longest way. */
export function dayRows(totals: readonly DayTotal[], now: number): DayRow[] {
  const by = new Map(totals.map((total) => [dayOf(Date.parse(total.day)), total]))
  const longest = Math.max(1, ...totals.map((total) => total.distance_m ?? 0))
  return Array.from({ length: DAYS }, (_, back) => {
    const day = dayOf(now) - back * DAY_MS
    const total = by.get(day) ?? null
    return { day, total, share: (total?.distance_m ?? 0) / longest }
  })
}

/** Trips of a day, newest first; those that began on the day before are that day's. */
export function tripsOf(trips: readonly Trip[], day: number): Trip[] {
  return trips.filter((trip) => dayOf(Date.parse(trip.started)) === day).sort((a, b) => b.started.localeCompare(a.started))
}

/** Area of polygon corners as a feature to be drawn; `at` is the geofence's own identity, absent of a new one. */
export function ringOf(corners: readonly LonLat[]): LonLat[] {
  return corners.length > 0 ? [...corners, corners[0]!] : []
}

/** Corners of a geofence's outer ring, the first one once. */
export function cornersOf(coordinates: readonly (readonly LonLat[])[]): LonLat[] {
  const ring = coordinates[0] ?? []
  const [first, last] = [ring[0], ring.at(-1)]
  return first && last && ring.length > 1 && first[0] === last[0] && first[1] === last[1] ? ring.slice(0, -1) : [...ring]
}

/** True if two edges of the area cross: nobody could say what is inside. */
export function crosses(corners: readonly LonLat[]): boolean {
  const n = corners.length
  for (let a = 0; a < n; a++) {
    for (let b = a + 1; b < n; b++) {
      // Edges that share a corner meet there, and may.
      if (b === a + 1 || (a === 0 && b === n - 1)) continue
      if (meet(corners[a]!, corners[(a + 1) % n]!, corners[b]!, corners[(b + 1) % n]!)) return true
    }
  }
  return false
}

function side([ax, ay]: LonLat, [bx, by]: LonLat, [px, py]: LonLat): number {
  return Math.sign((bx - ax) * (py - ay) - (by - ay) * (px - ax))
}

function meet(a: LonLat, b: LonLat, c: LonLat, d: LonLat): boolean {
  return side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b)
}
