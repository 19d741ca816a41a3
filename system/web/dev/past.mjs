/** What the development server says of the past: trips and days out of tracks, visits of areas. */
import { meters } from './roads.mjs'

const DAY_MS = 86_400_000
const STOP_MS = 120_000
const MOVING_KMH = 3
const iso = (ms) => new Date(ms).toISOString()

function within(vehicle, query) {
  const [from, until] = [Date.parse(query.get('from')), Date.parse(query.get('until'))]
  return vehicle.track.filter(([time]) => time >= from && time < until)
}

const place = ([, lon, lat]) => ({ lon, lat })
const between = (a, b) => meters([a[1], a[2]], [b[1], b[2]])

export function trips(vehicle, query) {
  const found = []
  const points = within(vehicle, query)
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1], points[at]]
    if (b[3] < MOVING_KMH) continue
    const last = found.at(-1)
    if (last && a[0] - Date.parse(last.ended) < STOP_MS) Object.assign(last, { ended: iso(b[0]), distance_m: last.distance_m + between(a, b), to: place(b) })
    else found.push({ started: iso(a[0]), ended: iso(b[0]), distance_m: between(a, b), from: place(a), to: place(b) })
  }
  return found
}

export function days(vehicle, query) {
  const by = new Map()
  const points = within(vehicle, query)
  for (const [at, point] of points.entries()) {
    const day = Math.floor(point[0] / DAY_MS) * DAY_MS
    const total = by.get(day) ?? { day: iso(day), fixes: 0, distance_m: 0, moving_s: 0, idling_s: vehicle.index % 2 ? null : 0, fuel_l: vehicle.index % 2 ? null : 0, speed_max_mps: 0 }
    by.set(day, total)
    total.fixes++
    total.speed_max_mps = Math.max(total.speed_max_mps, point[3] / 3.6)
    const before = points[at - 1]
    if (!before) continue
    const seconds = (point[0] - before[0]) / 1000
    total.distance_m += between(before, point)
    if (point[3] >= MOVING_KMH) total.moving_s += seconds
    else if (total.idling_s !== null) total.idling_s += seconds / 2
    if (total.fuel_l !== null) total.fuel_l += (seconds / 3600) * (2 + point[3] * 0.1)
  }
  return [...by.values()]
}

export function visits(world, query) {
  const ring = world.desk.fences.get(query.get('geofence'))?.geometry.coordinates[0] ?? []
  const found = []
  for (const vehicle of world.byIndex) {
    let stay = null
    for (const point of within(vehicle, query)) {
      if (!inside(ring, point[1], point[2])) stay = null
      else if (stay) stay.last_inside = iso(point[0])
      else found.push((stay = { vehicle: vehicle.id, entered: iso(point[0]), last_inside: iso(point[0]) }))
    }
  }
  return found.sort((a, b) => a.entered.localeCompare(b.entered))
}

function inside(ring, x, y) {
  let odd = false
  for (let at = 0; at + 1 < ring.length; at++) {
    const [[ax, ay], [bx, by]] = [ring[at], ring[at + 1]]
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd
  }
  return odd
}
