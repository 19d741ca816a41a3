/**
 * Vehicles that lie too close to be told apart at this zoom become one round mark with a number. A grid that stands still in
 * the world: panning changes nothing, and the same input always gives the same clusters.
 */
export interface Cluster {
  x: number
  y: number
  count: number
  /** How many of each status, by code. */
  byStatus: [number, number, number, number]
}

export interface ClusterLimits {
  /** Side of a cell, in pixels. */
  cellPx: number
  /** Fewer than this in one cell are drawn one by one. */
  least: number
  /** From this zoom on nothing is drawn together. */
  untilZoom: number
}

export const CLUSTER_LIMITS: ClusterLimits = { cellPx: 48, least: 4, untilZoom: 14.5 }
const TILE_PX = 512

export interface ClusterInput {
  count: number
  x: Float64Array
  y: Float64Array
  /** True if the vehicle is to be seen at all. */
  visible: (at: number) => boolean
  status: (at: number) => number
}

/** Room that is used again by every call: ten thousand vehicles are gathered once a second. */
let cellOf = new Int32Array(0)
const NO_CELL = -1

/** Returns the clusters, and calls `hide` once for each vehicle: true if it is in a cluster or not to be seen. */
export function cluster(
  input: ClusterInput, zoom: number, hide: (at: number, hidden: boolean) => void, limits = CLUSTER_LIMITS,
): Cluster[] {
  if (zoom >= limits.untilZoom) {
    for (let at = 0; at < input.count; at++) hide(at, !input.visible(at))
    return []
  }
  const cells = gather(input, zoom, limits)
  for (let at = 0; at < input.count; at++) {
    const cell = cellOf[at]!
    hide(at, cell === NO_CELL || cells[cell]!.count >= limits.least)
  }
  return cells.filter((cell) => cell.count >= limits.least)
}

/** Sums the vehicles of each cell, and notes each one's cell in `cellOf`. */
function gather(input: ClusterInput, zoom: number, limits: ClusterLimits): Cluster[] {
  if (cellOf.length < input.count) cellOf = new Int32Array(input.count * 2)
  // Whole zooms, so that cells do not crawl while zooming.
  const side = limits.cellPx / (TILE_PX * 2 ** Math.floor(zoom))
  const columns = Math.ceil(1 / side) + 1
  const places = new Map<number, number>()
  const cells: Cluster[] = []
  for (let at = 0; at < input.count; at++) {
    cellOf[at] = NO_CELL
    if (!input.visible(at)) continue
    const [x, y] = [input.x[at]!, input.y[at]!]
    const key = Math.floor(y / side) * columns + Math.floor(x / side)
    let place = places.get(key)
    if (place === undefined) {
      place = cells.length
      places.set(key, place)
      cells.push({ x, y, count: 0, byStatus: [0, 0, 0, 0] })
    }
    const cell = cells[place]!
    cell.count++
    // A running mean: sums of many mercator coordinates would lose digits that are seen.
    cell.x += (x - cell.x) / cell.count
    cell.y += (y - cell.y) / cell.count
    cell.byStatus[input.status(at) as 0 | 1 | 2 | 3]++
    cellOf[at] = place
  }
  return cells
}
