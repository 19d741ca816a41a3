/** The fleet at some time of the last hour: tracks are loaded when somebody first looks back, then kept for a while. */
import { ref, shallowRef } from 'vue'

import { Fleet } from '../../core/fleet'
import { positionAt } from '../../core/scrub'
import type { TrackPoint } from '../../core/types'
import { fleet, map, rows, selectedVehicle, theApi } from './state'

export const SCRUB_MS = 60 * 60_000
/** Most vehicles whose past is loaded at once, and how many at a time. */
export const SCRUB_VEHICLES_MAX = 250
const AT_A_TIME = 4
const POINTS = 720
/** Loaded tracks are asked for anew after this. */
const KEEP_MS = 5 * 60_000
/** A minute of the past per second of play. */
export const PLAY_RATE = 60

/** Unix milliseconds that are shown; null is now. */
export const at = ref<number | null>(null)
export const loading = shallowRef<{ done: number; of: number } | null>(null)
export const shown = shallowRef<{ n: number; of: number }>({ n: 0, of: 0 })
export const playing = ref(false)

const tracks = new Map<string, { points: readonly TrackPoint[]; loadedAt: number }>()
let past: Fleet | null = null
/** The fleet as it is shown: the living one, or that of the past. */
export function shownFleet(): Fleet {
  return at.value === null ? fleet : (past ?? fleet)
}
let run = 0

/** Shows `time`, loading what is missing. Null goes back to now. */
export async function scrubTo(time: number | null): Promise<void> {
  at.value = time
  if (time === null) {
    playing.value = false
    run++
    past = null
    map.value?.setPast(null)
    return
  }
  draw()
  await load()
}

async function load(): Promise<void> {
  const mine = ++run
  const chosen = selectedVehicle.value
  const wanted = [...new Set([...(chosen ? [chosen] : []), ...rows.value])].slice(0, SCRUB_VEHICLES_MAX)
  shown.value = { n: wanted.length, of: rows.value.length }
  const now = Date.now()
  const kept = new Set(wanted)
  for (const [id, { loadedAt }] of tracks) if (loadedAt < now - KEEP_MS && !kept.has(id)) tracks.delete(id)
  const missing = wanted.filter((id) => (tracks.get(id)?.loadedAt ?? 0) < now - KEEP_MS)
  if (missing.length === 0) return
  let done = 0
  loading.value = { done, of: missing.length }
  const todo = [...missing]
  await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
    for (let id = todo.shift(); id !== undefined && mine === run; id = todo.shift()) {
      try {
        const track = await theApi().track(id, now - SCRUB_MS, now, POINTS)
        tracks.set(id, { points: track.points, loadedAt: now })
      } catch {
        // Without its track a vehicle is not shown in the past; the next move asks again.
      }
      if (mine !== run) return
      loading.value = { done: ++done, of: missing.length }
      if (done % 8 === 0) draw()
    }
  }))
  if (mine !== run) return
  loading.value = null
  draw()
}

function draw(): void {
  const time = at.value
  if (time === null) return
  const monotonic = performance.now()
  past ??= new Fleet(monotonic)
  const wanted = new Set(rows.value)
  for (const id of [...past.ids]) if (!wanted.has(id) && id !== selectedVehicle.value) past.remove(id)
  for (const [id, { points }] of tracks) {
    if (!wanted.has(id) && id !== selectedVehicle.value) continue
    const was = positionAt(points, time)
    if (!was) {
      past.remove(id)
      continue
    }
    // A track has no engine values: resting is resting.
    const status = was.silent ? 3 : was.moving ? 0 : 2
    past.place({ id, lon: was.lon, lat: was.lat, speedKmh: was.speedKmh, headingDeg: was.headingDeg, status, ageMs: 0, fixTimeMs: time }, monotonic)
    const source = fleet.indexOf(id)
    if (source >= 0) past.setGroup(id, fleet.groups[source]!)
  }
  past.agePass(monotonic)
  map.value?.setPast(past)
}

let playedAt = 0
export function play(on: boolean): void {
  playing.value = on
  if (!on) return
  if (at.value === null) void scrubTo(Date.now() - SCRUB_MS / 4)
  playedAt = performance.now()
  requestAnimationFrame(step)
}

function step(now: number): void {
  if (!playing.value || at.value === null) return
  // The past is drawn ten times a second: it costs script per vehicle.
  if (now - playedAt >= 100) {
    const next = at.value + (now - playedAt) * PLAY_RATE
    playedAt = now
    if (next >= Date.now()) return void scrubTo(null)
    at.value = next
    draw()
  }
  requestAnimationFrame(step)
}
