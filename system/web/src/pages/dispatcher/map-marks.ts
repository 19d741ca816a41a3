/** What the open panel puts on the map: a trail, stops, a route. */
import { lateBy } from '../../core/status'
import type { LonLat, Order } from '../../core/types'
import { sketch } from './actions'
import { fleet, map, openStops, orders, theApi, type Panel } from './state'

const TRAIL_MS = 60 * 60_000
const TRAIL_POINTS = 600
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
    trails.set(id, track.points.map(([, lon, lat]) => [lon, lat]))
    map.value?.setTrail(trails.get(id)!)
  } catch {
    // The panel says that there is none.
  }
}

const trails = new Map<string, LonLat[]>()

/** Adds where the chosen vehicle is now to its trail. */
export function growTrail(id: string): void {
  const trail = trails.get(id)
  const at = fleet.indexOf(id)
  if (!trail || at < 0) return
  const here = fleet.position(at)
  const last = trail.at(-1)
  if (last && last[0] === here[0] && last[1] === here[1]) return
  trail.push(here)
  map.value?.setTrail(trail)
}
