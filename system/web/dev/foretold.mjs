/** Predicted arrivals of the development server: beelines, a speed, and minutes for each stop before. */
import { meters } from './roads.mjs'

const MPS = 6
const DETOUR = 1.35
const SERVICE_S = 240
const STEP_MS = 5 * 60_000
const iso = (ms) => new Date(ms).toISOString()

export function arrivals(world, vehicle) {
  const now = Date.now()
  const answer = { vehicle: vehicle.id, at: iso(now), seen: vehicle.fix && iso(vehicle.fix.time), speed_mps: null, way: 'beeline', items: [], none: null }
  const open = world.openStops(vehicle.id)
  if (open.length === 0) return { ...answer, none: 'no_stops' }
  if (!vehicle.fix) return { ...answer, none: 'unheard' }
  let [here, seconds, distance] = [[vehicle.fix.lon, vehicle.fix.lat], 0, 0]
  for (const { order, stop } of open) {
    const there = [stop.position.lon, stop.position.lat]
    const leg = meters(here, there) * DETOUR
    distance += leg
    seconds += leg / MPS
    const expected = stop.state === 'arrived' ? Date.parse(stop.arrived) : now + seconds * 1000
    const late = stop.due_until && expected > Date.parse(stop.due_until) ? Math.round((expected - Date.parse(stop.due_until)) / 1000) : null
    answer.items.push({
      order: order.id, stop: stop.id, under_way: order.state === 'under_way', expected: iso(expected), earliest: iso(now + seconds * 800), latest: iso(now + seconds * 1350 + 60_000),
      distance_m: Math.round(distance), late_s: late,
    })
    seconds += SERVICE_S
    here = there
  }
  return answer
}

/** What a customer is told of it: a range of whole steps. */
export function expectedAt(world, vehicle, stop) {
  const there = arrivals(world, vehicle).items.find((each) => each.stop === stop.id)
  if (!there) return null
  const down = (time) => Math.floor(Date.parse(time) / STEP_MS) * STEP_MS
  return { from: iso(down(there.earliest)), until: iso(down(there.latest) + STEP_MS), late: there.late_s !== null }
}
