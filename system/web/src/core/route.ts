/** What a new route changes for the driver. Pure. */
import type { Change, Route, Stop, TrackerStates } from './types'

export interface RouteChange {
  added: string[]
  removed: string[]
  /** Stops that come earlier or later than before, with their new place (from 1). */
  moved: { id: string; from: number; to: number }[]
}

/**
 * The route to show: what the store has, or one that the feed told of and that is newer. The store may not have it yet, or never, if a
 * service pushed it to hubs alone.
 */
export function standing(stored: Route | null, pushed: Route | null): Route | null {
  return pushed && pushed.revision > (stored?.revision ?? 0) ? pushed : stored
}

/** Whether a change says that this very route is no longer good. */
export function isOver(route: Route, change: Change): boolean {
  const states = change['states'] as TrackerStates | null | undefined
  return change['revision'] === route.revision && (change['state'] === 'expired' || Boolean(states?.expired))
}

export function stopIds(route: Pick<Route, 'stops'>): string[] {
  return route.stops.map((stop) => (typeof stop === 'string' ? stop : stop.id))
}

/** The longest run of stops that kept their order: everything outside of it has moved. */
function keptInOrder(before: string[], after: string[]): Set<string> {
  const place = new Map(before.map((id, at) => [id, at]))
  const common = after.filter((id) => place.has(id))
  const best: string[][] = []
  common.forEach((id, at) => {
    let longest: string[] = []
    for (let earlier = 0; earlier < at; earlier++) {
      if (place.get(common[earlier]!)! < place.get(id)! && best[earlier]!.length > longest.length) longest = best[earlier]!
    }
    best.push([...longest, id])
  })
  return new Set(best.reduce((a, b) => (b.length > a.length ? b : a), []))
}

export function whatChanged(before: string[], after: string[]): RouteChange {
  const kept = keptInOrder(before, after)
  const known = new Set(before)
  return {
    added: after.filter((id) => !known.has(id)),
    removed: before.filter((id) => !after.includes(id)),
    moved: after
      .map((id, at) => ({ id, from: before.indexOf(id) + 1, to: at + 1 }))
      .filter(({ id }) => known.has(id) && !kept.has(id)),
  }
}

/**
 * Stops in the order of the route; those that it does not name come after, by their own sequence. Where the vehicle is comes before
 * everything, as the server has it: a route that names it later, or not at all, would put it out of its driver's reach.
 */
export function inRouteOrder(stops: readonly Stop[], ids: readonly string[]): Stop[] {
  const place = new Map(ids.map((id, at) => [id, at]))
  const rank = (stop: Stop): number => place.get(stop.id) ?? ids.length + stop.sequence
  const ahead = (stop: Stop): number => (stop.state === 'arrived' ? 0 : 1)
  return [...stops].sort((a, b) => ahead(a) - ahead(b) || rank(a) - rank(b) || a.id.localeCompare(b.id))
}
