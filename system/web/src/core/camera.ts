/**
 * What a flat, northward map shows: a centre, a zoom and a size in pixels. Pure. MapLibre's camera without pitch and bearing is
 * exactly this, so the overlays need no matrix from it and draw even before it is loaded.
 */
import { latOf, lonOf, mercatorX, mercatorY } from './mercator'
import type { LonLat } from './types'

export const TILE_PX = 512

export interface Camera {
  /** Centre, in mercator units. */
  x: number
  y: number
  zoom: number
  /** CSS pixels. */
  width: number
  height: number
}

/** Pixels per mercator unit. */
export function scaleOf(zoom: number): number {
  return TILE_PX * 2 ** zoom
}

export function toScreen(camera: Camera, x: number, y: number): [px: number, py: number] {
  const scale = scaleOf(camera.zoom)
  return [(x - camera.x) * scale + camera.width / 2, (y - camera.y) * scale + camera.height / 2]
}

export function fromScreen(camera: Camera, px: number, py: number): [x: number, y: number] {
  const scale = scaleOf(camera.zoom)
  return [camera.x + (px - camera.width / 2) / scale, camera.y + (py - camera.height / 2) / scale]
}

export function lonLatToScreen(camera: Camera, lon: number, lat: number): [px: number, py: number] {
  return toScreen(camera, mercatorX(lon), mercatorY(lat))
}

/** The camera that shows all `points` within `padding` pixels of the edges, at most at `maxZoom`. */
export function fitting(points: readonly LonLat[], width: number, height: number, padding: number, maxZoom = 17): Camera {
  const xs = points.map(([lon]) => mercatorX(lon))
  const ys = points.map(([, lat]) => mercatorY(lat))
  const [west, east, north, south] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
  const room = (size: number): number => Math.max(1, size - 2 * padding)
  const scale = Math.min(room(width) / Math.max(1e-9, east - west), room(height) / Math.max(1e-9, south - north))
  return { x: (west + east) / 2, y: (north + south) / 2, zoom: Math.max(0, Math.min(maxZoom, Math.log2(scale / TILE_PX))), width, height }
}

/** What the camera shows, with a margin as a share of its size. */
export function boundsOf(camera: Camera, margin = 0): [west: number, south: number, east: number, north: number] {
  const [left, top] = fromScreen(camera, -margin * camera.width, -margin * camera.height)
  const [right, bottom] = fromScreen(camera, (1 + margin) * camera.width, (1 + margin) * camera.height)
  return [Math.max(-180, lonOf(left)), latOf(bottom), Math.min(180, lonOf(right)), latOf(top)]
}
