/** What a driver sees of orders, with what was tapped but not yet said to the server. Pure. */
import type { Queued } from './queue'
import { inRouteOrder } from './route'
import { isOpen } from './status'
import type { Message, Order, Stop, StopState } from './types'

export interface DriverStop extends Stop { order: string; customer: string; waiting: boolean }

/** All stops of the driver's orders in the order of the route, each as it will be when the queue is sent. */
export function driverStops(orders: readonly Order[], route: readonly string[], waiting: readonly Queued[]): DriverStop[] {
  const wished = new Map<string, { state: StopState; at: string }>()
  for (const entry of waiting) {
    if (entry.path.startsWith('/stops/')) wished.set(entry.subject, { state: entry.body['to'] as StopState, at: entry.at })
  }
  const stops: DriverStop[] = []
  for (const order of [...orders].sort((a, b) => dueOf(a) - dueOf(b) || a.id.localeCompare(b.id))) {
    for (const stop of order.stops) {
      const wish = wished.get(stop.id)
      stops.push({
        ...stop, sequence: stops.length, order: order.id, customer: order.customer, waiting: wish !== undefined, state: wish?.state ?? stop.state,
        ...(wish?.state === 'arrived' ? { arrived: wish.at } : {}), ...(wish?.state === 'done' ? { done: wish.at } : {}),
      })
    }
  }
  return inRouteOrder(stops, route) as DriverStop[]
}

function dueOf(order: Order): number {
  const due = order.stops.find(isOpen)?.due_until
  return due ? Date.parse(due) : Infinity
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
