/**
 * What the dispatcher's page knows. Positions live in `fleet`, outside Vue; what people read is refreshed once a second into
 * shallow refs. One instance per page.
 */
import { computed, reactive, ref, shallowRef, triggerRef, type Ref } from 'vue'

import { Api, ApiError } from '../../api/http'
import { Link } from '../../api/link'
import { toSignIn } from '../../api/sign-in'
import { AGE_MAX_MS } from '../../core/binary'
import { Fleet, FLAG_SELECTED } from '../../core/fleet'
import type { LinkState } from '../../core/session'
import { AGEING_AFTER_MS, ALL_STATUSES, insightLine, isWholeMessage, mergedStates, newer, newerMessage, orderChange } from '../../core/status'
import { Streets } from '../../core/streets'
import { t } from '../../core/text'
import type { Change, Config, Message, Order, OrderState, Principal, Route, Status, Stop, TrackerStates, Vehicle } from '../../core/types'
import type { MapView } from '../../map/view'

export type Tab = 'vehicles' | 'orders' | 'messages' | 'areas' | 'audit' | 'faults'
export type Panel = { kind: 'vehicle'; id: string } | { kind: 'order'; id: string } | { kind: 'route'; id: string } | { kind: 'history'; id: string } | { kind: 'new' } | null

const REFRESH_MS = 1000
const RELOAD_AFTER_MS = 400
/** What could not be read is tried again after this. */
const RETRY_MS = 5_000
/** What nobody has waited for takes longer to read. */
const INSIGHT_MS = 12_000
/** Names, groups and what events may have missed are asked for again so often. */
const RELOAD_EVERY_MS = 120_000

export const fleet = new Fleet(performance.now())
export const me = shallowRef<Principal | null>(null)
export const config = shallowRef<Config | null>(null)
export const map = shallowRef<MapView | null>(null)
export const link = reactive({ state: 'connecting' as LinkState, reason: null as string | null, retryAt: null as number | null, lostAt: null as number | null, hub: '' })
export const tab = ref<Tab>('vehicles')
export const panel = shallowRef<Panel>(null)
export const query = ref('')
export const group = ref('')
export const hiddenStatuses = reactive(new Set<Status>())
/** Monotonic time of the newest refresh: what depends on age depends on it. */
export const now = ref(performance.now())
export const counts = shallowRef<Record<Status, number>>({ moving: 0, idling: 0, stopped: 0, silent: 0 })
export const freshness = shallowRef({ fresh: 0, total: 0, newestMs: Infinity })
/** Names of the vehicles in the list, in order. */
export const rows = shallowRef<string[]>([])
export const vehicles = shallowRef(new Map<string, Vehicle>())
export const orders = shallowRef(new Map<string, Order>())
export const messages = shallowRef(new Map<string, Message>())
export const routes = shallowRef(new Map<string, Route>())
export const streets = shallowRef<Streets | null>(null)
/** `undo` takes back what is said, for as long as it is said. */
export interface Toast { text: string; bad: boolean; n: number; undo?: () => void }
export const toast = ref<Toast | null>(null)
/** What a service found out last; beside the toast, so that neither takes the other away. */
export const insight = ref<Toast | null>(null)
export const loaded = ref(false)
/** True while orders or messages could not be read: what is shown may be old, or nothing at all. */
export const stale = ref(false)
/** Grows whenever somebody draws or removes an area. */
export const areasChanged = ref(0)

let api: Api
let session: Link
export function theApi(): Api {
  return api
}

export const groups = computed(() => [...new Set([...vehicles.value.values()].map((vehicle) => vehicle.group).filter((name) => name !== null))].sort())
export const selectedVehicle = computed(() => (panel.value?.kind === 'vehicle' || panel.value?.kind === 'route' || panel.value?.kind === 'history' ? panel.value.id : null))
export const unread = computed(() => [...messages.value.values()].filter((message) => !message.to_vehicle && message.state !== 'read').length)
export const can = computed(() => {
  const scopes = new Set(me.value?.scopes ?? [])
  return { orders: scopes.has('orders:write'), messages: scopes.has('messages:write'), share: scopes.has('share:write'), engine: scopes.has('fleet:view'), routes: scopes.has('route:read'), audit: scopes.has('audit:read') && me.value?.vehicle === null }
})

let toasts = 0
export function say(text: string, bad = false): void {
  show(toast, { text, bad, n: ++toasts }, bad ? 8000 : 4000)
}

/** Says what was done at once, and offers to take it back. */
export function sayDone(text: string, undo: () => void): void {
  show(toast, { text, bad: false, n: ++toasts, undo }, 8000)
}

function show(where: Ref<Toast | null>, what: Toast, ms: number): void {
  where.value = what
  setTimeout(() => {
    if (where.value?.n === what.n) where.value = null
  }, ms)
}

/** Carries out `work`; a refusal is said. Returns undefined then. */
export async function attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    if (error.status === 409 && error.problem.state) say(t('err.conflict', { state: stateName(error.problem.state) }), true)
    else say(t('err.what', { what, detail: error.status === 0 ? t('err.net') : error.message }), true)
    reloadSoon()
    return undefined
  }
}

function stateName(state: string): string {
  return state in { planned: 1, assigned: 1, under_way: 1, delivered: 1, failed: 1, cancelled: 1 } ? t(`o.${state as OrderState}`) : state
}

/** Opens the session, while the page still asks who it is: positions are there sooner. */
export function connect(token: string): void {
  api = new Api(token, () => toSignIn('expired'))
  session = new Link(token, 'drover.bin', {
    position: (id, record) => {
      fleet.apply({ id, ...record, ageMs: Math.min(record.ageMs, AGE_MAX_MS) }, performance.now())
      touch()
    },
    features: (features) => {
      const wall = Date.now()
      for (const feature of features) fleet.applyFeature(feature, performance.now(), wall)
      touch()
    },
    gone: (ids) => {
      for (const id of ids) fleet.remove(id)
      touch()
    },
    event: onChange,
    state: (state, reason, retryAt) => {
      if (state === 'lost' && link.lostAt === null) link.lostAt = performance.now()
      if (state === 'live') {
        if (link.lostAt !== null) say(t('link.back'))
        link.lostAt = null
      }
      Object.assign(link, { state, reason, retryAt })
      if (state === 'refused') toSignIn('expired')
    },
    welcome: (_principal, _serverTimeMs, hub) => (link.hub = hub),
    // After a gap events may be missing: what they would have told is asked for.
    restart: reloadSoon,
    problem: (code, detail) => {
      if (code === 'too_many') viewportOnly()
      // A viewer may not hear of orders: the board is empty then, and no fault.
      else if (code !== 'forbidden') say(t('err.what', { what: code, detail }), true)
    },
    slept: (ms) => {
      fleet.missed(ms)
      if (link.lostAt !== null) link.lostAt -= ms
      refresh()
    },
  })
  if (new URLSearchParams(location.search).get('follow') === 'viewport') viewportOnly()
  else session.subscribe('live_updates:all')
  session.subscribe('events')
  session.start()
}

/** Begins, once it is known who signed in and where. */
export function start(principal: Principal, settings: Config): void {
  me.value = principal
  config.value = settings
  setInterval(refresh, REFRESH_MS)
  setInterval(() => void (link.state === 'live' && reload()), RELOAD_EVERY_MS)
  void loadStreets(settings)
}

let byViewport = false
function viewportOnly(): void {
  byViewport = true
  session.unsubscribe('live_updates:all')
  viewportMoved()
}

let viewportTimer: ReturnType<typeof setTimeout> | undefined
export function viewportMoved(): void {
  if (!byViewport || !map.value) return
  clearTimeout(viewportTimer)
  viewportTimer = setTimeout(() => {
    const [west, south, east, north] = map.value!.bounds()
    session.setViewport({ west, south, east, north, zoom: map.value!.zoom() })
  }, 200)
}

export function hurry(): void {
  session.hurry()
}

/** Engine values and events of one vehicle, while somebody looks at it. */
export function watch(id: string | null, before: string | null): void {
  if (before !== null) session.unsubscribe(`vehicle:${before}`)
  if (id !== null) session.subscribe(`vehicle:${id}`)
}

let touched = false
function touch(): void {
  if (touched) return
  touched = true
  // Many frames may come at once: the map hears of them once.
  queueMicrotask(() => {
    touched = false
    // The first positions are shown at once, the list too.
    if (freshness.value.total === 0) refresh()
    map.value?.touched()
  })
}

/** A viewer may not read orders, and knows it; anything else is a failure. */
function isFailure(read: PromiseSettledResult<unknown>): boolean {
  return read.status === 'rejected' && !(read.reason instanceof ApiError && read.reason.status === 403)
}

let retryTimer: ReturnType<typeof setTimeout> | undefined
let reloadTimer: ReturnType<typeof setTimeout> | null = null
/** Asks anew in a moment. Called again meanwhile it waits no longer: with events all the time it would wait for ever. */
export function reloadSoon(): void {
  reloadTimer ??= setTimeout(() => {
    reloadTimer = null
    void (reloading ?? Promise.resolve()).then(reload)
  }, RELOAD_AFTER_MS)
}

let reloading: Promise<void> | null = null

/** Asks for vehicles, orders and messages anew. */
export function reload(): Promise<void> {
  reloading ??= readAll().finally(() => (reloading = null))
  return reloading
}

async function readAll(): Promise<void> {
  missed = []
  const byId = <T extends { id: string }>(items: T[]): Map<string, T> => new Map(items.map((item) => [item.id, item]))
  const [cars, jobs, talk] = await Promise.allSettled([api.vehicles(), api.orders(), api.messages()])
  if (cars.status === 'fulfilled') takeVehicles(cars.value)
  if (jobs.status === 'fulfilled') orders.value = byId(jobs.value)
  if (talk.status === 'fulfilled') messages.value = byId(talk.value)
  stale.value = [jobs, talk].some(isFailure)
  clearTimeout(retryTimer)
  if (stale.value) retryTimer = setTimeout(() => void reload(), RETRY_MS)
  else loaded.value = true
  const late = missed
  missed = null
  for (const change of late) onChange(change)
  refresh()
}

/** What changed while an answer was on its way, which may be older than that. */
let missed: Change[] | null = null

function takeVehicles(list: Vehicle[]): void {
  vehicles.value = new Map(list.map((vehicle) => [vehicle.id, vehicle]))
  for (const vehicle of list) {
    if (vehicle.position && vehicle.fix_time && fleet.indexOf(vehicle.id) < 0) {
      fleet.apply({
        id: vehicle.id, lon: vehicle.position.lon, lat: vehicle.position.lat, speedKmh: vehicle.speed_kmh ?? NaN, headingDeg: vehicle.heading_deg ?? NaN,
        status: ALL_STATUSES.indexOf(vehicle.status), ageMs: vehicle.age_ms ?? 0, fixTimeMs: Date.parse(vehicle.fix_time),
      }, performance.now())
    }
    fleet.setGroup(vehicle.id, vehicle.group)
  }
  touch()
}

async function loadStreets(settings: Config): Promise<void> {
  if (typeof settings.streets !== 'string') return
  try {
    // The map has asked for the same file: it comes out of the cache.
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const response = await fetch(settings.streets)
    if (response.ok) streets.value = new Streets((await response.json()) as GeoJSON.FeatureCollection)
  } catch {
    // Street names are a help, no need.
  }
}

/** "Aleksanterinkatu", or the position itself. */
export function placeName(lon: number, lat: number): string {
  return streets.value?.near(lon, lat) ?? `${lat.toFixed(4)}, ${lon.toFixed(4)}`
}

const collator = new Intl.Collator('en', { numeric: true })
let sorted: string[] = []
let sortedOf = ''

export function matches(id: string, at: number): boolean {
  if (group.value && (vehicles.value.get(id)?.group ?? fleet.groups[at]) !== group.value) return false
  const wanted = query.value.trim().toLowerCase()
  if (!wanted) return true
  return `${id} ${vehicles.value.get(id)?.label ?? ''}`.toLowerCase().includes(wanted)
}

/** Counts, the list and what is drawn, from the positions. Once a second, and when a filter changes. */
export function refresh(): void {
  const time = performance.now()
  now.value = time
  fleet.agePass(time)
  const next: Record<Status, number> = { moving: 0, idling: 0, stopped: 0, silent: 0 }
  let fresh = 0
  let newest = Infinity
  const shown = new Set<string>()
  for (let at = 0; at < fleet.count; at++) {
    const age = fleet.ageMs(at, time)
    newest = Math.min(newest, age)
    if (age < AGEING_AFTER_MS) fresh++
    const id = fleet.ids[at]!
    if (!matches(id, at)) continue
    const status = fleet.statusAt(at, time)
    next[status]++
    if (!hiddenStatuses.has(status)) shown.add(id)
  }
  counts.value = next
  freshness.value = { fresh, total: fleet.count, newestMs: newest }
  const stamp = `${fleet.count}/${fleet.ids[0]}/${fleet.ids[fleet.count - 1]}`
  if (stamp !== sortedOf) {
    sortedOf = stamp
    sorted = [...fleet.ids].sort(collator.compare)
  }
  rows.value = sorted.filter((id) => shown.has(id))
  const everything = !query.value && !group.value && hiddenStatuses.size === 0
  const filter = everything ? '' : `${query.value}/${group.value}/${[...hiddenStatuses].join()}`
  map.value?.setVisible(everything ? () => true : (source, at) => source !== fleet || shown.has(source.ids[at]!), filter !== filtered)
  filtered = filter
}

let filtered = ''

export function onChange(change: Change): void {
  const { kind } = change
  // Nothing that is read anew, so nothing to be said twice.
  if (kind === 'insight') return tellInsight(change)
  missed?.push(change)
  if (kind === 'order') patch(orders, orderChange(change), 'stops', newer)
  else if (kind === 'message') patchMessage(change)
  else if (kind === 'stop') patchStop(change)
  else if (kind === 'route') patchRoute(change)
  else if (kind === 'geofence') areasChanged.value++
}

function tellInsight(change: Change): void {
  const line = insightLine(change)
  if (line) show(insight, { ...line, n: ++toasts }, INSIGHT_MS)
}

function patchMessage(change: Change): void {
  // Half a message can not be shown among the others: the store may have all of it.
  if ('body' in change && !isWholeMessage(change)) reloadSoon()
  else patch(messages, change, 'body', newerMessage)
}

function patchRoute(change: Change): void {
  const vehicle = typeof change['vehicle'] === 'string' ? change['vehicle'] : [...routes.value.values()].find((route) => route.id === change.id)?.vehicle
  if (!vehicle) return
  const said = change as unknown as Route
  const known = routes.value.get(vehicle)
  const isNew = 'stops' in change
  // A panel that shows the route asks for it when it opens.
  if (!known && !isNew) return
  // What a tracker says of a route comes late, and there may be a newer one.
  if (known && known.id === said.id && said.revision < known.revision) return
  // One that a service pushed has no state of its own: it is on its way.
  const state = isNew ? (said.state as Route['state'] | undefined) ?? 'queued' : said.state ?? known!.state
  routes.value = new Map(routes.value).set(vehicle, { ...known, ...said, vehicle, state, states: mergedStates(known?.states, said.states, isNew) })
}

/** A change names only what it set, but for a new thing, which has `whole` among its fields. */
function patch<T extends { id: string }>(where: { value: Map<string, T> }, change: Change, whole: string, merge: (known: T | undefined, item: T) => T): void {
  const known = where.value.get(change.id) as (T & { states?: TrackerStates | null }) | undefined
  if (whole in change) return put(where, merge(known, change as unknown as T))
  if ('states' in change) change = { ...change, states: mergedStates(known?.states, change['states'] as TrackerStates | null, false) }
  if (known) put(where, { ...known, ...(change as unknown as Partial<T>) })
  else reloadSoon()
}

function put<T extends { id: string }>(where: { value: Map<string, T> }, item: T): void {
  where.value.set(item.id, item)
  triggerRef(where as never)
}

export function putOrder(order: Order): void {
  missed?.push({ kind: 'order', ...order })
  put(orders, newer(orders.value.get(order.id), order))
}

export function putMessage(message: Message): void {
  missed?.push({ kind: 'message', ...message })
  put(messages, newerMessage(messages.value.get(message.id), message))
}

function patchStop(change: Change): void {
  for (const order of orders.value.values()) {
    const at = order.stops.findIndex((stop) => stop.id === change.id)
    if (at < 0) continue
    const stops = [...order.stops]
    stops[at] = { ...stops[at]!, ...(change as unknown as Partial<Stop>), id: change.id }
    put(orders, { ...order, stops })
    return
  }
  reloadSoon()
}

/** The open stops of a vehicle, with their orders. */
export function openStops(vehicle: string): { order: Order; stop: Stop }[] {
  const open: { order: Order; stop: Stop }[] = []
  for (const order of orders.value.values()) {
    if (order.vehicle !== vehicle || (order.state !== 'assigned' && order.state !== 'under_way')) continue
    for (const stop of order.stops) if (stop.state === 'planned' || stop.state === 'arrived') open.push({ order, stop })
  }
  return open.sort((a, b) => (a.stop.due_until ?? '').localeCompare(b.stop.due_until ?? '') || a.stop.sequence - b.stop.sequence)
}

export function selectVehicle(id: string | null): void {
  panel.value = id === null ? null : { kind: 'vehicle', id }
}

export function isSelected(id: string): boolean {
  const at = fleet.indexOf(id)
  return at >= 0 && fleet.hasFlag(at, FLAG_SELECTED)
}
