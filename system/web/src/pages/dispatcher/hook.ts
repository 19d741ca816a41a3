/** What tests and curious people may ask the page, as `window.drover`. Reads only, but for choosing and jumping. */
import type { MapView } from '../../map/view'
import { counts, fleet, freshness, link, orders, rows, selectVehicle, selectedVehicle } from './state'

export interface DroverHook {
  link(): string
  /** Which hub has the session. */
  hub(): string
  /** Vehicles known, and those in the list. */
  vehicles(): { known: number; listed: number }
  counts(): Record<string, number>
  fresh(): { fresh: number; total: number }
  /** Newest fix of a vehicle; null if unknown. */
  position(id: string): { lon: number; lat: number; status: string; ageMs: number; fixTimeMs: number } | null
  ids(): string[]
  /** Where a vehicle is drawn now, in pixels of the map. */
  screen(id: string): { x: number; y: number; hidden: boolean } | null
  select(id: string | null): void
  selected(): string | null
  jump(lon: number, lat: number, zoom: number): void
  clusters(): number
  frames(): { frames: number; p50: number; p95: number; max: number }
  orders(): { id: string; state: string; vehicle: string | null; stops: string[] }[]
}

declare global {
  interface Window {
    drover?: DroverHook
  }
}

export function hook(view: MapView): void {
  window.drover = {
    link: () => link.state,
    hub: () => link.hub,
    vehicles: () => ({ known: fleet.count, listed: rows.value.length }),
    counts: () => counts.value,
    fresh: () => ({ fresh: freshness.value.fresh, total: freshness.value.total }),
    position: (id) => {
      const at = fleet.indexOf(id)
      if (at < 0) return null
      const [lon, lat] = fleet.position(at)
      const now = performance.now()
      return { lon, lat, status: fleet.statusAt(at, now), ageMs: fleet.ageMs(at, now), fixTimeMs: fleet.fixTimeMs[at]! }
    },
    ids: () => [...fleet.ids],
    screen: (id) => view.screenOf(id),
    select: selectVehicle,
    selected: () => selectedVehicle.value,
    jump: (lon, lat, zoom) => view.jump(lon, lat, zoom),
    clusters: () => view.shownClusters(),
    frames: () => view.meter.stats(),
    orders: () => [...orders.value.values()].map(({ id, state, vehicle, stops }) => ({ id, state, vehicle, stops: stops.map((stop) => stop.id) })),
  }
}
