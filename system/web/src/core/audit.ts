/** The audit trail as its pane lists it: what a note is about, where it leads, and how its pages are put together. Pure. */
import type { AuditEntry, Message, Order, Page, Route } from './types'

/** What something was done to. */
export type Thing = 'access' | 'order' | 'stop' | 'message' | 'route' | 'link' | 'area'

/** Every kind of action that people's requests are noted with, by what it is done to. */
export const ACTIONS = {
  access: ['signed_in', 'refused'],
  order: ['create_order', 'change_order'],
  stop: ['change_stop'],
  message: ['send_message', 'change_message'],
  route: ['plan_route', 'change_route'],
  link: ['share_order', 'revoke_share_link'],
  area: ['draw_geofence', 'change_geofence', 'remove_geofence'],
} as const satisfies Record<Thing, readonly string[]>
export type Action = (typeof ACTIONS)[Thing][number]
export const THINGS = Object.keys(ACTIONS) as Thing[]

/** What `action` is done to; null of one that this page does not know. */
export function thingOf(action: string): Thing | null {
  return THINGS.find((thing) => (ACTIONS[thing] as readonly string[]).includes(action)) ?? null
}

export function isKnown(action: string): action is Action {
  return thingOf(action) !== null
}

/** What the page knows, and so can open. `areas` has their names by their identities, `routes` the newest of each vehicle. */
export interface Known {
  vehicles: { has(id: string): boolean }
  orders: ReadonlyMap<string, Order>
  messages: ReadonlyMap<string, Message>
  routes: ReadonlyMap<string, Route>
  areas: ReadonlyMap<string, string>
}
export interface Goal { kind: 'order' | 'vehicle' | 'area'; id: string; name: string }

/** Where a note leads; null if what it is about can not be opened, or is not there any more. */
export function goalOf(entry: AuditEntry, known: Known): Goal | null {
  const { subject } = entry
  if (!subject) return null
  const vehicle = (id: string | undefined): Goal | null => (id !== undefined && known.vehicles.has(id) ? { kind: 'vehicle', id, name: id } : null)
  const order = (found: Order | undefined): Goal | null => (found ? { kind: 'order', id: found.id, name: found.customer } : null)
  switch (thingOf(entry.action)) {
    case 'order': return order(known.orders.get(subject))
    case 'stop': return order([...known.orders.values()].find((each) => each.stops.some((stop) => stop.id === subject)))
    case 'message': return vehicle(known.messages.get(subject)?.vehicle)
    case 'route': return vehicle([...known.routes.values()].find((route) => route.id === subject)?.vehicle)
    case 'access': return entry.action === 'signed_in' ? vehicle(subject) : null
    case 'area': {
      const name = known.areas.get(subject)
      return name === undefined ? null : { kind: 'area', id: subject, name }
    }
    default: return null
  }
}

/** Outcomes that are no success, and have a text of their own. */
export const MISHAPS = ['forbidden', 'exists', 'missing', 'elsewhere', 'not_a_step', 'unknown'] as const
export type Mishap = (typeof MISHAPS)[number]

/** How it ended: done, not done, or not let. */
export function endOf(entry: AuditEntry): 'done' | 'failed' | 'refused' {
  if (entry.action === 'refused') return 'refused'
  return (MISHAPS as readonly string[]).includes(entry.outcome) ? 'failed' : 'done'
}

/** Until when a sign-in holds; null of anything else. */
export function untilOf(entry: AuditEntry): string | null {
  const found = entry.action === 'signed_in' ? /^until (\S+)$/.exec(entry.outcome)?.[1] : undefined
  return found !== undefined && !Number.isNaN(Date.parse(found)) ? found : null
}

/** An identity as people can bear it: its first block. A name or a path stays whole. */
export function shortName(subject: string): string {
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(subject) ? `${subject.slice(0, 8)}…` : subject
}

/**
 * The newest page put before what is known. Notes come a moment late, so one may belong between two that are known. Where none of the page
 * is known and there is more behind it, something may be missing between the two: then the page alone stands.
 */
export function merged(known: Page<AuditEntry>, page: Page<AuditEntry>): Page<AuditEntry> {
  const ids = new Set(known.items.map((entry) => entry.id))
  const fresh = page.items.filter((entry) => !ids.has(entry.id))
  if (fresh.length === 0) return known
  if (fresh.length === page.items.length && page.next !== null) return page
  return { items: [...fresh, ...known.items].sort((a, b) => b.at.localeCompare(a.at)), next: known.next }
}

export interface Day { day: string; entries: AuditEntry[] }

/** Notes under the days that `dayOf` names, in the order in which they come. */
export function byDay(entries: readonly AuditEntry[], dayOf: (at: string) => string): Day[] {
  const days: Day[] = []
  for (const entry of entries) {
    const day = dayOf(entry.at)
    if (days.at(-1)?.day === day) days.at(-1)!.entries.push(entry)
    else days.push({ day, entries: [entry] })
  }
  return days
}
