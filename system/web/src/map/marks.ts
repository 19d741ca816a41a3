/** Clusters, stops and their numbers on a 2D canvas above the vehicles. */
import { toScreen, type Camera } from '../core/camera'
import type { Cluster } from '../core/cluster'
import { mercatorX, mercatorY } from '../core/mercator'
import type { MapTheme } from './theme'

export interface StopMark { lon: number; lat: number; label: string; done: boolean; late: boolean }

const FONT = '600 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'

export function clusterRadius(count: number): number {
  return Math.min(34, 15 + Math.log2(count) * 2.4)
}

/** Draws a ring whose parts show how many of each status are inside, and the number. */
export function drawClusters(c: CanvasRenderingContext2D, camera: Camera, clusters: readonly Cluster[], theme: MapTheme): void {
  c.font = FONT
  c.textAlign = 'center'
  c.textBaseline = 'middle'
  for (const cluster of clusters) {
    const [x, y] = toScreen(camera, cluster.x, cluster.y)
    const radius = clusterRadius(cluster.count)
    if (x < -radius || y < -radius || x > camera.width + radius || y > camera.height + radius) continue
    c.beginPath()
    c.arc(x, y, radius + 2, 0, 2 * Math.PI)
    c.fillStyle = theme.clusterFill
    c.shadowColor = 'rgba(0,0,0,0.25)'
    c.shadowBlur = 6
    c.fill()
    c.shadowBlur = 0
    let from = -Math.PI / 2
    cluster.byStatus.forEach((count, status) => {
      if (count === 0) return
      const until = from + (count / cluster.count) * 2 * Math.PI
      c.beginPath()
      c.arc(x, y, radius - 1.5, from, until)
      c.lineWidth = 4
      c.strokeStyle = theme.status[status as 0 | 1 | 2 | 3]
      c.stroke()
      from = until
    })
    c.fillStyle = theme.clusterInk
    c.fillText(cluster.count >= 10_000 ? `${Math.round(cluster.count / 1000)}k` : String(cluster.count), x, y + 0.5)
  }
}

export function drawStops(c: CanvasRenderingContext2D, camera: Camera, stops: readonly StopMark[], theme: MapTheme): void {
  c.font = FONT
  c.textAlign = 'center'
  c.textBaseline = 'middle'
  for (const stop of stops) {
    const [x, y] = toScreen(camera, mercatorX(stop.lon), mercatorY(stop.lat))
    c.beginPath()
    // A pin: a circle on a point, so that it says where exactly.
    c.moveTo(x, y)
    c.lineTo(x - 6, y - 11)
    c.arc(x, y - 19, 11, Math.PI * 0.75, Math.PI * 2.25)
    c.closePath()
    c.fillStyle = stop.done ? theme.status[2] : stop.late ? theme.status[3] : theme.accent
    c.strokeStyle = theme.halo
    c.lineWidth = 2
    c.fill()
    c.stroke()
    c.fillStyle = theme.halo
    c.fillText(stop.label, x, y - 18.5)
  }
}
