/** What ages and states mean for the eye: words, freshness, lateness. Pure. */
import type { Change, Message, Order, OrderState, Status, Stop, TrackerStates } from './types'

export const ALL_STATUSES: readonly Status[] = ['moving', 'idling', 'stopped', 'silent']

export type Freshness = 'fresh' | 'ageing' | 'stale'
/** A position older than this is said to be old; older than STALE_AFTER_MS it is not believed any more. */
export const AGEING_AFTER_MS = 15_000
export const STALE_AFTER_MS = 60_000

export function freshness(ageMs: number): Freshness {
  return ageMs < AGEING_AFTER_MS ? 'fresh' : ageMs < STALE_AFTER_MS ? 'ageing' : 'stale'
}

export interface AgeText { key: 'age.now' | 'age.s' | 'age.min' | 'age.h' | 'age.d'; n: number }

/** "just now", "12 s ago", "3 min ago": a key of the dictionary and its number. */
export function ageText(ageMs: number): AgeText {
  const seconds = Math.max(0, Math.floor(ageMs / 1000))
  if (seconds < 2) return { key: 'age.now', n: 0 }
  if (seconds < 90) return { key: 'age.s', n: seconds }
  if (seconds < 90 * 60) return { key: 'age.min', n: Math.round(seconds / 60) }
  if (seconds < 36 * 3600) return { key: 'age.h', n: Math.round(seconds / 3600) }
  return { key: 'age.d', n: Math.round(seconds / 86_400) }
}

const OPEN_ORDERS: readonly OrderState[] = ['planned', 'assigned', 'under_way']

export function isOpen(stop: Stop): boolean {
  return stop.state === 'planned' || stop.state === 'arrived'
}

/** The stop that comes next: the first open one in the order of the route. */
export function nextStop(stops: readonly Stop[]): Stop | null {
  let next: Stop | null = null
  for (const stop of stops) if (isOpen(stop) && (next === null || stop.sequence < next.sequence)) next = stop
  return next
}

/** How late a stop is in milliseconds: past its window and not served. 0 while in time. */
export function lateBy(stop: Stop, now: number): number {
  if (stop.due_until === null || stop.state !== 'planned') return 0
  return Math.max(0, now - Date.parse(stop.due_until))
}

export function orderLateBy(order: Order, now: number): number {
  if (!OPEN_ORDERS.includes(order.state)) return 0
  return order.stops.reduce((most, stop) => Math.max(most, lateBy(stop, now)), 0)
}

/** Whether an order is looked for by its customer, vehicle, id or a street. `wanted` is in lower case; streets are asked for last, for that takes longest. */
export function isWanted(order: Order, wanted: string, streetOf: (stop: Stop) => string): boolean {
  const has = (text: string | null): boolean => text !== null && text.toLowerCase().includes(wanted)
  return has(order.customer) || has(order.vehicle) || order.id.startsWith(wanted) || order.stops.some((stop) => has(streetOf(stop)))
}

export const COLUMNS = ['planned', 'assigned', 'under_way', 'delivered', 'failed'] as const
export type Column = (typeof COLUMNS)[number]

/** The orders of each column, the most urgent first; done ones newest first. */
export function board(orders: Iterable<Order>, now: number): Record<Column, Order[]> {
  const columns: Record<Column, Order[]> = { planned: [], assigned: [], under_way: [], delivered: [], failed: [] }
  for (const order of orders) if (order.state !== 'cancelled') columns[order.state].push(order)
  const due = (order: Order): number => {
    const stop = nextStop(order.stops)
    return stop?.due_until ? Date.parse(stop.due_until) : Infinity
  }
  for (const column of COLUMNS) {
    if (column === 'delivered' || column === 'failed') {
      columns[column].sort((a, b) => b.changed.localeCompare(a.changed) || a.id.localeCompare(b.id))
    } else {
      columns[column].sort((a, b) => orderLateBy(b, now) - orderLateBy(a, now) || due(a) - due(b) || a.id.localeCompare(b.id))
    }
  }
  return columns
}

/** Moves that the server allows from each state, as the pages offer them. */
export const ORDER_STEPS: Record<OrderState, readonly OrderState[]> = {
  planned: ['assigned', 'cancelled'],
  assigned: ['planned', 'under_way', 'cancelled'],
  under_way: ['delivered', 'failed'],
  delivered: [],
  failed: ['planned'],
  cancelled: [],
}

/** Stops that are opened again before a failed order is planned anew: whoever gets it could not serve them otherwise. */
export function stopsToReopen(order: Order): Stop[] {
  return order.state === 'failed' ? order.stops.filter((stop) => stop.state === 'failed' || stop.state === 'skipped') : []
}

export type TrackerState = 'queued' | 'delivered' | 'applied' | 'expired' | 'refused'

/** How far it is: a tracker that has applied it has the last word. */
export function trackerState(states: TrackerStates | null | undefined): TrackerState | null {
  if (!states) return null
  return (['applied', 'refused', 'expired', 'delivered'] as const).find((state) => states[state]) ?? 'queued'
}

/** An answer about a thing, or what the feed has told of it while the answer was on its way: whichever changed last. */
export function newer<T extends { changed: string }>(known: T | undefined, answer: T): T {
  return known && known.changed > answer.changed ? known : answer
}

/** A change of an order with what it leaves unsaid: one that is planned again has no vehicle. */
export function orderChange(change: Change): Change {
  return change['state'] === 'planned' && !('vehicle' in change) ? { ...change, vehicle: null } : change
}

/** Longest text of an insight on the page. */
const INSIGHT_CHARS_MAX = 240

/** What a service found out, in one line: about which vehicle, if one, and whether somebody should do something. Null of what says nothing. */
export function insightLine(change: Change): { text: string; bad: boolean } | null {
  const { vehicle, text, severity } = change
  if (typeof text !== 'string' || !text.trim()) return null
  const chars = [...text.trim()]
  const short = chars.length > INSIGHT_CHARS_MAX ? `${chars.slice(0, INSIGHT_CHARS_MAX).join('')}…` : chars.join('')
  return { text: typeof vehicle === 'string' ? `${vehicle}: ${short}` : short, bad: severity === 'warning' || severity === 'critical' }
}

/** Whether a change tells all of a message. What a service sent over the bus alone has a text, and neither a state nor a time. */
export function isWholeMessage(change: Change): boolean {
  return 'body' in change && typeof change['state'] === 'string' && typeof change['created'] === 'string'
}

/** The same of a message, whose moments on its way to the tracker are set once each, and apart from its state. */
export function newerMessage(known: Message | undefined, answer: Message): Message {
  const states = { ...answer.states }
  for (const [state, at] of Object.entries(known?.states ?? {}) as [keyof TrackerStates, string | null][]) states[state] = at ?? states[state] ?? null
  return { ...newer(known, answer), states: known?.states || answer.states ? states : null }
}

/** What is known, with what a change says: a change names only the moments that it sets, a new thing all of them. */
export function mergedStates(known: TrackerStates | null | undefined, said: TrackerStates | null | undefined, isNew: boolean): TrackerStates | null {
  if (isNew || !known) return said ?? known ?? null
  return said ? { ...known, ...said } : known
}
