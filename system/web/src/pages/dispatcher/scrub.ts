/** The fleet at some time of the last hours: tracks are loaded when somebody looks at their hour, then kept for a while. */
import { computed, ref, shallowRef, watch } from 'vue'

import { Fleet } from '../../core/fleet'
import { inOrder, Pace, pageOf, pointsEach, Tracks, type Wanted } from '../../core/past'
import { fleet, group, hiddenStatuses, map, query, rows, selectedVehicle, theApi } from './state'

const HOUR_MS = 60 * 60_000
/** How far one may look back, in hours. */
export const SPANS = [1, 3, 6, 12] as const
const SPAN = 'drover.span'
/** Most vehicles whose past is loaded, and how many at a time. */
export const SCRUB_VEHICLES_MAX = 1_000
const AT_A_TIME = 4
/** Below what the server allows one of us, which other parts of the page share. */
const REQUESTS = new Pace(35, 100)
/** A slider that is being dragged asks for nothing until it rests. */
const REST_MS = 150
const MOVED_MS = 600
/** A minute of the past per second of play, and what is loaded ahead of it. */
export const PLAY_RATE = 60
const AHEAD_MS = 15 * 60_000

const saved = Number(localStorage.getItem(SPAN))
/** Hours that the slider spans. */
export const span = ref<number>(SPANS.find((hours) => hours === saved) ?? 1)
export const spanMs = computed(() => span.value * HOUR_MS)
/** Unix milliseconds that are shown; null is now. */
export const at = ref<number | null>(null)
export const loading = shallowRef<{ done: number; of: number } | null>(null)
export const shown = shallowRef<{ n: number; of: number }>({ n: 0, of: 0 })
export const playing = ref(false)

const tracks = new Tracks()
let past: Fleet | null = null
/** The fleet as it is shown: the living one, or that of the past. */
export function shownFleet(): Fleet {
  return at.value === null ? fleet : (past ?? fleet)
}
let run = 0

export function setSpan(hours: number): void {
  span.value = hours
  localStorage.setItem(SPAN, String(hours))
  if (at.value !== null && at.value < Date.now() - spanMs.value) scrubTo(Date.now() - spanMs.value)
}

/** Shows `time`, loading what is missing. Null goes back to now. */
export function scrubTo(time: number | null): void {
  at.value = time
  if (time === null) {
    playing.value = false
    run++
    clearTimeout(timer)
    loading.value = null
    past = null
    map.value?.setPast(null)
    return
  }
  draw()
  soon(REST_MS)
}

let timer: ReturnType<typeof setTimeout> | undefined
function soon(ms: number): void {
  clearTimeout(timer)
  timer = setTimeout(() => void load(), ms)
}

/** Other vehicles are in view: where not all are shown, these come first. */
export function viewMoved(): void {
  if (at.value !== null && shown.value.n < shown.value.of) soon(MOVED_MS)
}

// Whoever is filtered in is shown, too.
watch([query, group, selectedVehicle, () => [...hiddenStatuses].join()], () => {
  if (at.value !== null) soon(REST_MS)
})

function choose(): string[] {
  const [west, south, east, north] = map.value?.bounds() ?? [-180, -90, 180, 90]
  const isInView = (id: string): boolean => {
    const index = fleet.indexOf(id)
    if (index < 0) return false
    const [lon, lat] = fleet.position(index)
    return lon >= west && lon <= east && lat >= south && lat <= north
  }
  return inOrder(rows.value, selectedVehicle.value, isInView, SCRUB_VEHICLES_MAX)
}

/** Vehicles that are shown. */
let chosen: string[] = []

async function load(): Promise<void> {
  const mine = ++run
  chosen = choose()
  shown.value = { n: chosen.length, of: Math.max(chosen.length, rows.value.length) }
  // Those that were silent all the hour long are known after the first time round: then the hour before is asked for.
  for (let round = 0; round < 2; round++) {
    const todo = needed()
    if (todo.length === 0) break
    await loadAll(todo, mine)
    if (mine !== run) return
  }
  loading.value = null
  tracks.bound(at.value ?? Date.now())
  draw()
}

function needed(): Wanted[] {
  const [time, now] = [at.value, Date.now()]
  if (time === null) return []
  const missing = tracks.missing(chosen, time, now)
  const ahead = Math.min(now, time + AHEAD_MS)
  return playing.value && pageOf(ahead) !== pageOf(time) ? [...missing, ...tracks.missing(chosen, ahead, now)] : missing
}

async function loadAll(todo: Wanted[], mine: number): Promise<void> {
  const of = todo.length
  const points = pointsEach(chosen.length)
  let done = 0
  loading.value = { done, of }
  await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
    for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
      const wait = REQUESTS.wait(performance.now())
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      if (mine !== run) return
      const { id, page, from, until } = next
      const now = Date.now()
      try {
        tracks.put(id, page, (await theApi().track(id, from, Math.min(until, now), points)).points, now)
      } catch {
        // Without its track a vehicle is not shown in the past; the next move asks again.
      }
      if (mine !== run) return
      loading.value = { done: ++done, of }
      if (done % 16 === 0) draw()
    }
  }))
}

let rowsOf: readonly string[] = []
let listed = new Set<string>()

function draw(): void {
  const time = at.value
  if (time === null) return
  const monotonic = performance.now()
  past ??= new Fleet(monotonic)
  if (rowsOf !== rows.value) listed = new Set((rowsOf = rows.value))
  const wanted = new Set(chosen.filter((id) => listed.has(id) || id === selectedVehicle.value))
  for (const id of [...past.ids]) if (!wanted.has(id)) past.remove(id)
  for (const id of wanted) {
    const was = tracks.at(id, time)
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
  if (at.value === null) scrubTo(Date.now() - spanMs.value / 4)
  playedAt = performance.now()
  requestAnimationFrame(step)
}

function step(now: number): void {
  if (!playing.value || at.value === null) return
  // The past is drawn ten times a second: it costs script per vehicle.
  if (now - playedAt >= 100) {
    const before = at.value
    const next = before + (now - playedAt) * PLAY_RATE
    playedAt = now
    if (next >= Date.now()) return scrubTo(null)
    at.value = next
    draw()
    if (pageOf(next + AHEAD_MS) !== pageOf(before + AHEAD_MS)) soon(0)
  }
  requestAnimationFrame(step)
}
