/** What a driver sees of orders, with what was tapped but not yet said to the server. Pure. */
import type { Queued } from './queue'
import { inRouteOrder } from './route'
import { isOpen } from './status'
import type { Message, Order, OrderState, Route, Stop, StopState } from './types'

export interface DriverStop extends Stop { order: string; orderState: OrderState; customer: string; waiting: boolean }

/** All stops of the driver's orders in the order of the route, each as it will be when the queue is sent. */
export function driverStops(orders: readonly Order[], route: readonly string[], waiting: readonly Queued[]): DriverStop[] {
  const wished = new Map<string, { state: StopState; at: string }>()
  for (const entry of waiting) {
    if (entry.path.startsWith('/stops/')) wished.set(entry.subject, { state: entry.body['to'] as StopState, at: entry.at })
  }
  const ordered = new Map<string, OrderState>()
  for (const entry of waiting) if (entry.path.startsWith('/orders/')) ordered.set(entry.subject, entry.body['to'] as OrderState)
  const stops: DriverStop[] = []
  for (const order of [...orders].sort((a, b) => dueOf(a) - dueOf(b) || a.id.localeCompare(b.id))) {
    for (const stop of order.stops) {
      const wish = wished.get(stop.id)
      stops.push({
        ...stop, sequence: stops.length, order: order.id, orderState: ordered.get(order.id) ?? order.state, customer: order.customer, waiting: wish !== undefined, state: wish?.state ?? stop.state,
        ...(wish?.state === 'arrived' ? { arrived: wish.at } : {}), ...(wish?.state === 'done' ? { done: wish.at } : {}),
      })
    }
  }
  return inRouteOrder(stops, route) as DriverStop[]
}

/** Whether the driver still goes there. What is open of an order that has ended is not. */
export function isAhead(stop: DriverStop): boolean {
  return isOpen(stop) && (stop.orderState === 'assigned' || stop.orderState === 'under_way')
}

/** Orders as they are after the server has accepted an entry of the queue, so that nothing jumps back until they are asked for anew. */
export function accepted(orders: readonly Order[], entry: Queued): Order[] {
  const to = entry.body['to']
  return orders.map((order) => {
    if (entry.path.startsWith('/orders/')) return order.id === entry.subject ? { ...order, state: to as OrderState, changed: entry.at } : order
    if (!entry.path.startsWith('/stops/') || !order.stops.some((stop) => stop.id === entry.subject)) return order
    return { ...order, stops: order.stops.map((stop) => (stop.id === entry.subject ? { ...stop, state: to as StopState, changed: entry.at } : stop)) }
  })
}

/** One thing to be said to the server. */
export interface Step { path: string; subject: string; body: Record<string, unknown>; quiet?: boolean }

/** The order is under way once its driver sets out for it. */
export function settingOut(stop: DriverStop): Step[] {
  if (stop.orderState !== 'assigned') return []
  return [{ path: `/orders/${stop.order}/state`, subject: stop.order, body: { from: 'assigned', to: 'under_way' }, quiet: true }]
}

/** What is to be said when a stop changes: the stop itself, and the order, which follows its stops. `stops` are all that are known. */
export function stepsOf(stop: DriverStop, to: StopState, stops: readonly DriverStop[]): Step[] {
  const steps = settingOut(stop)
  steps.push({ path: `/stops/${stop.id}/state`, subject: stop.id, body: { from: stop.state, to, order: stop.order } })
  const states = stops.filter((each) => each.order === stop.order).map((each) => (each.id === stop.id ? to : each.state))
  if (states.every((state) => state !== 'planned' && state !== 'arrived')) {
    const end = states.includes('done') ? 'delivered' : 'failed'
    steps.push({ path: `/orders/${stop.order}/state`, subject: stop.order, body: { from: 'under_way', to: end }, quiet: true })
  }
  return steps
}

/** That a route is here, or was understood. */
export function routeStep(route: Route, vehicle: string, from: Route['state'], to: Route['state']): Step {
  return { path: `/routes/${route.id}/state`, subject: route.id, body: { revision: route.revision, vehicle, from, to }, quiet: true }
}

function dueOf(order: Order): number {
  const due = order.stops.find(isOpen)?.due_until
  return due ? Date.parse(due) : Infinity
}

/** Apple's systems know no `geo:` (RFC 5870); iPads say that they are Macs. */
const APPLE = /iPhone|iPad|iPod|Macintosh/

/** A link to the way there, for the device's own map. */
export function wayTo({ lat, lon }: { lat: number; lon: number }, userAgent: string): string {
  return APPLE.test(userAgent) ? `https://maps.apple.com/?daddr=${lat},${lon}` : `geo:${lat},${lon}?q=${lat},${lon}`
}

/** What was kept, if it was under the same token: another driver does not see it. */
export function keptUnder<T extends { mark?: string | null }>(kept: T | undefined, mark: string | null): T | undefined {
  return mark !== null && kept?.mark === mark ? kept : undefined
}

export function isMine(order: Order): boolean {
  return order.state === 'assigned' || order.state === 'under_way' || order.state === 'delivered' || order.state === 'failed'
}

/** Messages with those that wait to be sent, oldest first. */
export function driverMessages(messages: readonly Message[], waiting: readonly Queued[]): (Message & { waiting?: boolean })[] {
  const unsent = waiting.filter((entry) => entry.path === '/messages').map((entry) => ({
    id: entry.key, vehicle: entry.owner, to_vehicle: false, body: String(entry.body['body']), state: 'queued' as const, created: entry.at, changed: entry.at, waiting: true,
  }))
  return [...messages, ...unsent].sort((a, b) => a.created.localeCompare(b.created))
}
