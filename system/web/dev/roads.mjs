/** The street file as a graph: nodes where lines meet, and shortest ways between them. */
import { readFileSync } from 'node:fs'

const M_PER_DEG = 111_320
const SPEED_KMH = { motorway: 80, trunk: 70, primary: 50, secondary: 45, tertiary: 40, residential: 30, service: 15, footway: 8 }

export function meters(a, b) {
  return Math.hypot((a[0] - b[0]) * Math.cos((a[1] * Math.PI) / 180) * M_PER_DEG, (a[1] - b[1]) * M_PER_DEG)
}

export function headingOf(a, b) {
  const east = (b[0] - a[0]) * Math.cos((a[1] * Math.PI) / 180)
  return ((Math.atan2(east, b[1] - a[1]) * 180) / Math.PI + 360) % 360
}

export class Roads {
  constructor(path) {
    this.bytes = readFileSync(path)
    const collection = JSON.parse(this.bytes)
    this.nodes = []
    this.edges = []
    const ids = new Map()
    const node = (at) => {
      const key = at.join(',')
      if (!ids.has(key)) {
        ids.set(key, this.nodes.length)
        this.nodes.push(at)
        this.edges.push([])
      }
      return ids.get(key)
    }
    for (const { geometry, properties } of collection.features) {
      const kmh = SPEED_KMH[properties.class]
      if (geometry.type !== 'LineString' || kmh === undefined || properties.class === 'footway') continue
      for (let i = 1; i < geometry.coordinates.length; i++) {
        const [a, b] = [node(geometry.coordinates[i - 1]), node(geometry.coordinates[i])]
        const m = meters(this.nodes[a], this.nodes[b])
        this.edges[a].push({ to: b, m, kmh })
        if (!properties.oneway) this.edges[b].push({ to: a, m, kmh })
      }
    }
    this.keepLargestPart()
    const lon = this.nodes.map((n) => n[0])
    const lat = this.nodes.map((n) => n[1])
    this.bounds = [Math.min(...lon), Math.min(...lat), Math.max(...lon), Math.max(...lat)]
  }

  /** Nodes that reach node `seed` and are reached from it: vehicles stay there. */
  keepLargestPart() {
    const reach = (edges, from) => {
      const seen = new Set([from])
      const todo = [from]
      while (todo.length) for (const { to } of edges[todo.pop()]) if (!seen.has(to)) (seen.add(to), todo.push(to))
      return seen
    }
    const back = this.nodes.map(() => [])
    this.edges.forEach((list, from) => list.forEach(({ to }) => back[to].push({ to: from })))
    let best = new Set()
    for (let from = 0; from < this.nodes.length; from += 97) {
      if (best.has(from)) continue
      const there = reach(this.edges, from)
      const both = new Set([...reach(back, from)].filter((n) => there.has(n)))
      if (both.size > best.size) best = both
    }
    this.usable = [...best].sort((a, b) => a - b)
    this.isUsable = best
  }

  nearest([lon, lat]) {
    let best = this.usable[0]
    let bestM = Infinity
    for (const n of this.usable) {
      const m = meters(this.nodes[n], [lon, lat])
      if (m < bestM) [best, bestM] = [n, m]
    }
    return best
  }

  /** The quickest way from node to node as a list of { at: [lon, lat], kmh }. */
  route(from, to) {
    const cost = new Float64Array(this.nodes.length).fill(Infinity)
    const via = new Int32Array(this.nodes.length).fill(-1)
    const speed = new Float64Array(this.nodes.length)
    cost[from] = 0
    const heap = [[0, from]]
    while (heap.length) {
      const [c, n] = pop(heap)
      if (n === to) break
      if (c > cost[n]) continue
      for (const edge of this.edges[n]) {
        const next = c + edge.m / edge.kmh
        if (next < cost[edge.to]) {
          cost[edge.to] = next
          via[edge.to] = n
          speed[edge.to] = edge.kmh
          push(heap, [next, edge.to])
        }
      }
    }
    const way = []
    for (let n = to; n >= 0; n = via[n]) way.push({ at: this.nodes[n], kmh: speed[n] || 20 })
    return way.reverse()
  }
}

function push(heap, item) {
  let i = heap.push(item) - 1
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (heap[parent][0] <= item[0]) break
    heap[i] = heap[parent]
    i = parent
  }
  heap[i] = item
}

function pop(heap) {
  const top = heap[0]
  const last = heap.pop()
  if (heap.length === 0) return top
  let i = 0
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1][0] < heap[child][0]) child++
    if (heap[child][0] >= last[0]) break
    heap[i] = heap[child]
    i = child
  }
  heap[i] = last
  return top
}
