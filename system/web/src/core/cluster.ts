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

export const CLUSTER_LIMITS: ClusterLimits = { cellPx: 56, least: 4, untilZoom: 15 }
const TILE_PX = 512

export interface ClusterInput {
  count: number
  x: Float64Array
  y: Float64Array
  /** True if the vehicle is to be seen at all. */
  visible: (at: number) => boolean
  status: (at: number) => number
}

/** Returns the clusters, and calls `hide` for each vehicle that is in one. */
export function cluster(
  input: ClusterInput, zoom: number, hide: (at: number, hidden: boolean) => void, limits = CLUSTER_LIMITS,
): Cluster[] {
  const together = zoom < limits.untilZoom
  // Whole zooms, so that cells do not crawl while zooming.
  const cell = limits.cellPx / (TILE_PX * 2 ** Math.floor(zoom))
  const columns = Math.ceil(1 / cell) + 1
  const cells = new Map<number, number[]>()
  for (let at = 0; at < input.count; at++) {
    if (!input.visible(at)) {
      hide(at, true)
      continue
    }
    if (!together) {
      hide(at, false)
      continue
    }
    const key = Math.floor(input.y[at]! / cell) * columns + Math.floor(input.x[at]! / cell)
    const members = cells.get(key)
    if (members) members.push(at)
    else cells.set(key, [at])
  }
  const clusters: Cluster[] = []
  for (const members of cells.values()) {
    const joined = members.length >= limits.least
    for (const at of members) hide(at, joined)
    if (joined) clusters.push(sum(input, members))
  }
  return clusters
}

function sum(input: ClusterInput, members: number[]): Cluster {
  const result: Cluster = { x: 0, y: 0, count: members.length, byStatus: [0, 0, 0, 0] }
  for (const at of members) {
    result.x += input.x[at]! / members.length
    result.y += input.y[at]! / members.length
    result.byStatus[input.status(at) as 0 | 1 | 2 | 3]++
  }
  return result
}
