/** What the open panel puts on the map: a trail, stops, a route. */
import { grow } from '../../core/scrub'
import { lateBy } from '../../core/status'
import type { LonLat, Order } from '../../core/types'
import { sketch } from './actions'
import { fleet, map, openStops, orders, theApi, type Panel } from './state'

const TRAIL_MS = 60 * 60_000
const TRAIL_POINTS = 600
/** Most points of a trail that grows while somebody looks: a fix per second for an hour. */
const TRAIL_POINTS_MAX = 4_000
/** Room that the panel and the time line take. */
const PANEL_PX = 384
const SCRUB_PX = 90

export function orderMarks(order: Order): { lon: number; lat: number; label: string; done: boolean; late: boolean }[] {
  return order.stops.map((stop, at) => ({
    ...stop.position, label: String(at + 1), done: stop.state === 'done' || stop.state === 'skipped' || stop.state === 'failed', late: lateBy(stop, Date.now()) > 0,
  }))
}

let shownFor = 0

export function showOnMap(panel: Panel): void {
  const view = map.value
  if (!view) return
  const mine = ++shownFor
  trail = null
  const { clientWidth, clientHeight } = document.querySelector<HTMLElement>('.stage')!
  const phone = matchMedia('(max-width: 760px)').matches
  view.setCovered(panel && !phone ? Math.min(PANEL_PX, clientWidth / 2) : 0, phone && panel ? clientHeight * 0.6 : SCRUB_PX)
  view.setTrail(null)
  view.setRoute(null)
  view.setStops([])
  if (panel === null || panel.kind === 'new' || panel.kind === 'history') return
  if (panel.kind === 'order') return showOrder(panel.id)
  const open = openStops(panel.id)
  view.setStops(open.map(({ stop }, at) => ({ ...stop.position, label: String(at + 1), done: false, late: lateBy(stop, Date.now()) > 0 })))
  if (panel.kind === 'vehicle') {
    const at = fleet.indexOf(panel.id)
    const seen = view.screenOf(panel.id)
    const box = document.querySelector('.map')!.getBoundingClientRect()
    if (at >= 0 && (!seen || seen.x < 20 || seen.y < 20 || seen.x > box.width - 20 || seen.y > box.height - 20)) {
      view.show([fleet.position(at)], Math.max(14, view.zoom()))
    }
    void showTrail(panel.id, () => mine === shownFor)
  }
}

function showOrder(id: string): void {
  const order = orders.value.get(id)
  const view = map.value
  if (!order || !view) return
  view.setStops(orderMarks(order))
  const line = order.vehicle ? sketch(order.vehicle, order.stops.filter((stop) => stop.state === 'planned' || stop.state === 'arrived')) : []
  view.setRoute(order.state === 'assigned' || order.state === 'under_way' ? line : null)
  view.show([...order.stops.map(({ position }): LonLat => [position.lon, position.lat]), ...line.slice(0, 1)])
}

async function showTrail(id: string, current: () => boolean): Promise<void> {
  try {
    const track = await theApi().track(id, Date.now() - TRAIL_MS, Date.now(), TRAIL_POINTS)
    if (!current()) return
    trail = { id, line: track.points.map(([, lon, lat]) => [lon, lat]) }
    map.value?.setTrail(trail.line)
  } catch {
    // The panel says that there is none.
  }
}

let trail: { id: string; line: LonLat[] } | null = null

/** Adds where the chosen vehicle is now to its trail. */
export function growTrail(id: string): void {
  const at = fleet.indexOf(id)
  if (trail?.id !== id || at < 0) return
  if (grow(trail.line, fleet.position(at), TRAIL_POINTS_MAX)) map.value?.setTrail(trail.line)
}
