/** The HTTP API, typed. One function per call; errors are `ApiError` with the server's own words. */
import { ringOf } from '../core/history'
import type {
  AreaVisit, Arrivals, AuditEntry, Change, Config, DayTotal, Delivery, Geofence, LonLat, Message, Order, OrderState, Page, Principal, Problem, Route,
  ShareLink, Stop, StopState, Track, Trip, Vehicle,
} from '../core/types'

/** Longest wait for an answer. */
const TIMEOUT_MS = 15_000

/** Most items of each list that a page holds. */
const VEHICLES_MAX = 100_000
const ORDERS_MAX = 20_000
const MESSAGES_MAX = 20_000
const SHARE_LINKS_MAX = 100

/** A refusal, or no answer at all (`status` 0). */
export class ApiError extends Error {
  constructor(readonly status: number, readonly problem: Problem) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`)
  }
}

export function newKey(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID()
  // Without a secure context there is no randomUUID; the bytes are as good.
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export interface RawAnswer { status: number; problem: Problem; body: unknown }

/** Sends one request and never throws: a missing answer has status 0. */
export async function request(
  method: string, path: string, token: string | null, body?: unknown, headers: Record<string, string> = {},
): Promise<RawAnswer> {
  let response: Response
  try {
    response = await fetch(path, {
      method, signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store',
      headers: {
        ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const parsed: unknown = text ? JSON.parse(text) : null
    return { status: response.status, problem: response.ok ? {} : ((parsed ?? {}) as Problem), body: parsed }
  } catch (error) {
    return { status: 0, problem: { title: 'no answer', detail: String(error) }, body: null }
  }
}

export async function loadConfig(): Promise<Config> {
  for (const path of ['/api/v1/config.json', '/config.json']) {
    const answer = await request('GET', path, null)
    if (answer.status === 200) return answer.body as Config
    if (answer.status !== 404) throw new ApiError(answer.status, answer.problem)
  }
  throw new ApiError(404, { title: 'no config.json' })
}

function span(fromMs: number, untilMs: number): string {
  return new URLSearchParams({ from: new Date(fromMs).toISOString(), until: new Date(untilMs).toISOString() }).toString()
}

/** An order as it is written. */
export interface NewOrder { customer: string; stops: { lon: number; lat: number; due_from: string | null; due_until: string | null }[] }

export class Api {
  constructor(readonly token: string | null, private readonly signedOut: () => void = () => undefined) {}

  me = (): Promise<Principal> => this.call('GET', '/me')
  vehicle = (id: string): Promise<Vehicle> => this.call('GET', `/vehicles/${encodeURIComponent(id)}`)
  vehicles = (): Promise<Vehicle[]> => this.all('/vehicles', VEHICLES_MAX)
  /** The newest, oldest of them first. */
  messages = async (): Promise<Message[]> => (await this.all<Message>('/messages?newest=true', MESSAGES_MAX)).reverse()
  order = (id: string): Promise<Order> => this.call('GET', `/orders/${id}`)
  route = (vehicle: string): Promise<Route> => this.call('GET', `/vehicles/${encodeURIComponent(vehicle)}/route`)
  delivery = (): Promise<Delivery> => this.call('GET', '/delivery')
  shareLinks = (order: string): Promise<ShareLink[]> => this.all(`/orders/${order}/share-links`, SHARE_LINKS_MAX)
  revoke = (id: string): Promise<unknown> => this.call('DELETE', `/share-links/${id}`, undefined, { 'Idempotency-Key': newKey() })

  arrivals = (vehicle: string): Promise<Arrivals> => this.call('GET', `/vehicles/${encodeURIComponent(vehicle)}/arrivals`)
  geofences = async (): Promise<Geofence[]> => (await this.call<Page<Geofence>>('GET', '/geofences')).items
  removeGeofence = (id: string): Promise<unknown> => this.call('DELETE', `/geofences/${id}`, undefined, { 'Idempotency-Key': newKey() })

  drawGeofence(name: string, corners: readonly LonLat[]): Promise<Geofence> {
    return this.change('/geofences', { type: 'Feature', properties: { name }, geometry: { type: 'Polygon', coordinates: [ringOf(corners)] } })
  }

  /** It stays the same area: its visits are those of the new ring. */
  changeGeofence(id: string, name: string, corners: readonly LonLat[]): Promise<Geofence> {
    return this.change(`/geofences/${id}`, { type: 'Feature', properties: { name }, geometry: { type: 'Polygon', coordinates: [ringOf(corners)] } }, newKey(), 'PUT')
  }

  /** All orders; of more than a page holds some, and those that are open all the same. */
  async orders(): Promise<Order[]> {
    const orders = await this.all<Order>('/orders', ORDERS_MAX)
    if (orders.length < ORDERS_MAX) return orders
    const open = await this.all<Order>('/orders?open=true', ORDERS_MAX)
    return [...new Map([...orders, ...open].map((order) => [order.id, order])).values()]
  }

  audit(query: Record<string, string>): Promise<Page<AuditEntry>> {
    return this.call('GET', `/audit?${new URLSearchParams(query)}`)
  }

  async visits(geofence: string, fromMs: number, untilMs: number): Promise<AreaVisit[]> {
    return (await this.call<Page<AreaVisit>>('GET', `/visits?geofence=${geofence}&${span(fromMs, untilMs)}`)).items
  }

  async trips(vehicle: string, fromMs: number, untilMs: number): Promise<Trip[]> {
    return (await this.call<Page<Trip>>('GET', `/vehicles/${encodeURIComponent(vehicle)}/trips?${span(fromMs, untilMs)}`)).items
  }

  async days(vehicle: string, fromMs: number, untilMs: number): Promise<DayTotal[]> {
    return (await this.call<Page<DayTotal>>('GET', `/vehicles/${encodeURIComponent(vehicle)}/days?${span(fromMs, untilMs)}`)).items
  }

  track(vehicle: string, fromMs: number, untilMs: number, points: number): Promise<Track> {
    return this.call('GET', `/vehicles/${encodeURIComponent(vehicle)}/track?${span(fromMs, untilMs)}&points=${points}`)
  }

  createOrder(order: NewOrder, key: string): Promise<Order> {
    return this.change('/orders', order, key)
  }

  orderState(id: string, from: OrderState, to: OrderState, vehicle?: string): Promise<Order> {
    return this.change(`/orders/${id}/state`, { from, to, ...(vehicle ? { vehicle } : {}) })
  }

  stopState(id: string, from: StopState, to: StopState, order: string): Promise<Stop> {
    return this.change(`/stops/${id}/state`, { from, to, order })
  }

  sendMessage(vehicle: string, body: string, expiresS: number, key: string): Promise<Message> {
    return this.change('/messages', { vehicle, body, expires_s: expiresS }, key)
  }

  messageState(id: string, from: Message['state'], to: Message['state']): Promise<Message> {
    return this.change(`/messages/${id}/state`, { from, to })
  }

  /** Without a polyline: the page knows the order of stops, and no streets that lead there. */
  pushRoute(vehicle: string, stops: string[], reason: string): Promise<Route> {
    return this.change('/routes', { vehicle, stops, reason })
  }

  /** The link's secret is told once: a repeat under the same key would not bring it. */
  share(order: string, expiresS: number): Promise<ShareLink> {
    return this.change(`/orders/${order}/share-links`, { expires_s: expiresS })
  }

  changes(since: string): Promise<Page<Change>> {
    return this.call('GET', `/changes?since=${encodeURIComponent(since)}&wait_s=0`)
  }

  private change<T>(path: string, body: unknown, key = newKey(), method = 'POST'): Promise<T> {
    return this.call(method, path, body, { 'Idempotency-Key': key })
  }

  /** A list page by page, up to `most` items. */
  private async all<T>(path: string, most: number): Promise<T[]> {
    const items: T[] = []
    let cursor: string | null = null
    const join = path.includes('?') ? '&' : '?'
    do {
      const query: string = `limit=${Math.min(1000, most - items.length)}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
      const page: Page<T> = await this.call('GET', `${path}${join}${query}`)
      items.push(...page.items)
      cursor = page.next
    } while (cursor !== null && items.length < most)
    return items
  }

  private async call<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    const answer = await request(method, `/api/v1${path}`, this.token, body, headers)
    if (answer.status === 401) this.signedOut()
    if (answer.status < 200 || answer.status >= 300) throw new ApiError(answer.status, answer.problem)
    return answer.body as T
  }
}
