/**
 * The driver's page: what was last known is shown at once, asked for anew, and kept; what is tapped goes through the queue, so
 * it works the same with and without a link.
 */
import { computed, ref, shallowRef } from 'vue'

import { Api, ApiError, loadConfig, newKey, request } from '../../api/http'
import { Link } from '../../api/link'
import { tokenMark, toSignIn } from '../../api/sign-in'
import { DriverStore } from '../../api/store'
import { accepted, driverMessages, driverStops, isAhead, isMine, keptUnder, routeStep, settingOut, stepsOf, type DriverStop, type Step } from '../../core/driver'
import { judge, OfflineQueue, type Queued, type QueueStore, type QueueView } from '../../core/queue'
import { isOver, standing, stopIds, whatChanged, type RouteChange } from '../../core/route'
import type { LinkState } from '../../core/session'
import { isOpen } from '../../core/status'
import { Streets } from '../../core/streets'
import type { Change, Config, LonLat, Message, MessageState, Order, Principal, Route, StopState } from '../../core/types'

/** Times between attempts while something waits, and between full reloads. */
const FLUSH_EVERY_MS = 5_000
const RELOAD_EVERY_MS = 60_000
const RELOAD_AFTER_MS = 300
/** Where nothing was kept the page waits so long for what the server knows before it shows that there is nothing. */
const PATIENCE_MS = 4_000
const MESSAGE_EXPIRES_S = 8 * 3600
/** Orders done longer ago than this are of yesterday. */
const TODAY_MS = 14 * 3600_000

/** `mark` is of the token under which it was heard. */
interface Known { mark?: string | null; vehicle: string; orders: Order[]; messages: Message[]; route: Route | null; pushed?: Route | null; config: Config | null; at: number }

export const me = shallowRef<Principal | null>(null)
export const vehicleId = ref<string | null>(null)
export const orders = shallowRef<Order[]>([])
export const messages = shallowRef<Message[]>([])
export const route = shallowRef<Route | null>(null)
export const config = shallowRef<Config | null>(null)
export const queue = shallowRef<QueueView>({ waiting: [], refused: [], sending: false, trouble: null })
export const linkState = ref<LinkState>('connecting')
export const knownAt = ref<number | null>(null)
export const now = ref(Date.now())
export const position = shallowRef<{ at: LonLat; heading: number | null; seenAt: number } | null>(null)
export const streets = shallowRef<Streets | null>(null)
/** Ids of the stops as the driver last said to have understood them. */
export const seenRoute = shallowRef<{ revision: number; stops: string[] } | null>(null)

let api: Api
export function theApi(): Api {
  return api
}
let store: DriverStore | null = null
let mark: string | null = null
/** A route that is newer than what the store last told of. */
let pushed: Route | null = null
let outbox: OfflineQueue
let link: Link

const routeIds = computed(() => (route.value ? stopIds(route.value) : []))
export const stops = computed<DriverStop[]>(() =>
  driverStops(orders.value.filter(isMine).filter((order) => order.state === 'assigned' || order.state === 'under_way' || Date.parse(order.changed) > now.value - TODAY_MS), routeIds.value, queue.value.waiting))
export const open = computed(() => stops.value.filter(isAhead))
export const finished = computed(() => stops.value.filter((stop) => !isOpen(stop)))
export const talk = computed(() => driverMessages(messages.value, queue.value.waiting))
export const routeNews = computed<{ route: Route; change: RouteChange } | null>(() => {
  const fresh = route.value
  if (!fresh || fresh.revision <= (seenRoute.value?.revision ?? 0)) return null
  return { route: fresh, change: whatChanged(seenRoute.value?.stops ?? [], routeIds.value) }
})

/**
 * Opens the page; false where nothing is known yet and the server does not answer. What was kept is shown at once: on a link that
 * hardly lives an answer takes many seconds.
 */
export async function begin(token: string): Promise<boolean> {
  api = new Api(token, () => toSignIn('expired'))
  store = await DriverStore.open().catch(() => null)
  mark = await tokenMark(token)
  const kept = keptUnder(await store?.kept<Known & { me: Principal }>('known').catch(() => undefined), mark)
  const who = kept?.me ?? (await whoIs())
  if (who === null) return false
  if (kept) show(kept)
  await enter(token, who)
  const reading = reload()
  if (kept) void checkWho()
  else await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))])
  return true
}

/** Whose token it is; null without an answer. With 401 the page leaves for the sign-in. */
function whoIs(): Promise<Principal | null> {
  return api.me().catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error
    return null
  })
}

/** Asks after all whose token it is. One that leads to another vehicle by now is shown nothing of the first. */
async function checkWho(): Promise<void> {
  const who = await whoIs()
  if (who === null) return
  me.value = who
  if (who.vehicle === vehicleId.value) return
  const mine = store
  store = null
  await mine?.clear('known').catch(() => undefined)
  location.reload()
}

async function enter(token: string, who: Principal): Promise<void> {
  me.value = who
  const owner = who.vehicle
  vehicleId.value = owner
  if (owner === null) return
  seenRoute.value = (await store?.kept<{ revision: number; stops: string[] }>(`route:${owner}`).catch(() => undefined)) ?? null
  outbox = new OfflineQueue(store?.queue(owner) ?? memoryStore(), (entry) => sendEntry(token, entry), (view) => (queue.value = view))
  await outbox.load()
  connect(token, owner)
  setInterval(() => {
    now.value = Date.now()
  }, 1000)
  setInterval(() => void (queue.value.waiting.length && outbox.flush()), FLUSH_EVERY_MS)
  setInterval(() => void reload(), RELOAD_EVERY_MS)
  addEventListener('online', () => void outbox.flush().then(reload))
}

function show(known: Known): void {
  orders.value = known.orders
  messages.value = known.messages
  route.value = known.route
  pushed = known.pushed ?? null
  if (known.config) useConfig(known.config)
  knownAt.value = known.at || null
}

function memoryStore(): QueueStore {
  const entries: Queued[] = []
  return {
    all: () => Promise.resolve([...entries]),
    put: (entry) => Promise.resolve(void entries.push(entry)),
    remove: (key) => Promise.resolve(void entries.splice(entries.findIndex((entry) => entry.key === key), 1)),
  }
}

async function sendEntry(token: string, entry: Queued): Promise<ReturnType<typeof judge>> {
  const answer = await request('POST', `/api/v1${entry.path}`, token, entry.body, { 'Idempotency-Key': entry.key, 'Happened-At': entry.at })
  if (answer.status === 401) toSignIn('expired')
  const sent = judge(answer.status, entry.body['to'] as string | undefined, answer.problem)
  if (sent.outcome === 'done') {
    accepts++
    orders.value = accepted(orders.value, entry)
    if (entry.path === '/messages' && answer.body) messages.value = [...messages.value, answer.body as Message]
    await keepKnown()
  }
  if (sent.outcome !== 'later') reloadSoon()
  return sent
}

function connect(token: string, owner: string): void {
  link = new Link(token, 'drover.json', {
    position: () => undefined,
    features: (features) => {
      const feature = features.find((each) => (each.properties.vehicle_id ?? each.id) === owner)
      if (feature) {
        position.value = { at: feature.geometry.coordinates, heading: feature.properties.heading_deg ?? null, seenAt: Date.now() - (feature.properties.age_ms ?? 0) }
      }
    },
    gone: () => (position.value = null),
    event: onChange,
    state: (state) => {
      linkState.value = state
      if (state === 'live') void outbox.flush().then(reloadSoon)
      if (state === 'refused') toSignIn('expired')
    },
    welcome: () => undefined,
    restart: reloadSoon,
    problem: () => undefined,
    // Times of this page are of the wall clock.
    slept: () => undefined,
  })
  link.subscribe('events')
  link.subscribe(`vehicle:${owner}`)
  link.start()
}

function onChange(change: Change): void {
  if (change.kind === 'route' && change['vehicle'] === vehicleId.value) takeRoute(change)
  reloadSoon()
}

function takeRoute(change: Change): void {
  const said = change as unknown as Route
  if (Array.isArray(change['stops']) && standing(route.value, said) === said) {
    route.value = pushed = said
    void keepKnown()
  } else if (pushed && isOver(pushed, change)) pushed = null
}

/** What the store says gives way to a newer route that was pushed, and ends it once it is as new. */
function takeStored(stored: Route | null): void {
  route.value = standing(stored, pushed)
  if (route.value !== pushed) pushed = null
}

let timer: ReturnType<typeof setTimeout> | null = null
function reloadSoon(): void {
  timer ??= setTimeout(() => {
    timer = null
    void reload()
  }, RELOAD_AFTER_MS)
}

/** Counts what the server accepted: an answer that was on its way meanwhile may be older than that. */
let accepts = 0
/** Counts readings, and the newest that was answered: an older one that comes after it says less. */
let reloads = 0
let newestRead = 0

async function reload(): Promise<void> {
  if (vehicleId.value === null) return
  const before = accepts
  const mine = ++reloads
  const [jobs, letters, way, settings] = await Promise.allSettled([
    api.orders(), api.messages(), api.route(vehicleId.value), config.value ? Promise.resolve(config.value) : loadConfig(),
  ])
  if (mine < newestRead || jobs.status === 'rejected') return
  if (accepts !== before) return reloadSoon()
  newestRead = mine
  orders.value = jobs.value
  if (letters.status === 'fulfilled') messages.value = letters.value
  if (way.status === 'fulfilled') takeStored(way.value)
  else if (way.reason instanceof ApiError && way.reason.status === 404) takeStored(null)
  if (settings.status === 'fulfilled' && !config.value) useConfig(settings.value)
  knownAt.value = Date.now()
  for (const message of messages.value) if (message.to_vehicle && message.state === 'queued') void acknowledge(message, 'delivered')
  void acknowledgeRoute()
  await keepKnown()
}

function useConfig(settings: Config): void {
  config.value = settings
  if (typeof settings.streets !== 'string' || streets.value) return
  fetch(settings.streets)
    .then((response) => response.json())
    .then((collection: GeoJSON.FeatureCollection) => (streets.value = new Streets(collection)))
    .catch(() => undefined)
}

async function keepKnown(): Promise<void> {
  const known = {
    mark, vehicle: vehicleId.value, me: me.value, orders: orders.value, messages: messages.value, route: route.value, pushed, config: config.value, at: knownAt.value ?? 0,
  }
  await store?.keep('known', JSON.parse(JSON.stringify(known))).catch(() => undefined)
}

async function add(...steps: Step[]): Promise<void> {
  const at = new Date().toISOString()
  for (const step of steps) await outbox.add({ key: newKey(), at, attempts: 0, owner: vehicleId.value!, ...step })
}

export function setStop(stop: DriverStop, to: StopState): Promise<void> {
  return add(...stepsOf(stop, to, stops.value))
}

/** The driver sets out for a stop. */
export function setOut(stop: DriverStop): Promise<void> {
  return add(...settingOut(stop))
}

export function say(body: string): Promise<void> {
  return add({ path: '/messages', subject: 'message', body: { vehicle: vehicleId.value!, body, expires_s: MESSAGE_EXPIRES_S } })
}

const told = new Set<string>()
/** Says once that a message is here, or was read. */
export async function acknowledge(message: Message, to: MessageState): Promise<void> {
  const mark = `${message.id}/${to}`
  if (told.has(mark)) return
  told.add(mark)
  if (to === 'read' && message.state === 'queued') await acknowledge(message, 'delivered')
  const from = to === 'read' ? 'delivered' : 'queued'
  // The vehicle's own unit may have said so already.
  await add({ path: `/messages/${message.id}/state`, subject: message.id, body: { from, to }, quiet: true })
}

/** Says once that the newest route is here. */
async function acknowledgeRoute(): Promise<void> {
  const fresh = route.value
  const mark = `${fresh?.id}/${fresh?.revision}`
  // The store knows nothing yet of one that is newer than its own.
  if (!fresh || fresh === pushed || fresh.state !== 'queued' || told.has(mark)) return
  told.add(mark)
  await add(routeStep(fresh, vehicleId.value!, 'queued', 'delivered'))
}

export async function understood(): Promise<void> {
  if (!route.value) return
  if (route.value.state === 'queued' || route.value.state === 'delivered') await add(routeStep(route.value, vehicleId.value!, 'delivered', 'applied'))
  const seen = { revision: route.value.revision, stops: [...routeIds.value] }
  // On disk before the news is gone: whoever closes the page then is not told again.
  await store?.keep(`route:${vehicleId.value}`, seen).catch(() => undefined)
  seenRoute.value = seen
}

export function dismiss(key: string): void {
  outbox.dismiss(key)
}

export function place(stop: { position: { lon: number; lat: number } }): string {
  const { lon, lat } = stop.position
  return streets.value?.near(lon, lat) ?? `${lat.toFixed(5)}, ${lon.toFixed(5)}`
}
