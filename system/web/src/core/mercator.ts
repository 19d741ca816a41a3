/** Web Mercator with the world as the unit square, x to the east, y to the south: what MapLibre calls mercator coordinates. */
export const EARTH_CIRCUMFERENCE_M = 40_075_016.686

export function mercatorX(lon: number): number {
  return (lon + 180) / 360
}

export function mercatorY(lat: number): number {
  const sin = Math.sin((Math.max(-85.051129, Math.min(85.051129, lat)) * Math.PI) / 180)
  return 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI)
}

export function lonOf(x: number): number {
  return x * 360 - 180
}

export function latOf(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI
}

/** Metres between two positions, by a flat approximation that is good to a thousandth within a town. */
export function metersBetween(aLon: number, aLat: number, bLon: number, bLat: number): number {
  const middle = (((aLat + bLat) / 2) * Math.PI) / 180
  const perDegree = EARTH_CIRCUMFERENCE_M / 360
  return Math.hypot((bLon - aLon) * Math.cos(middle) * perDegree, (bLat - aLat) * perDegree)
}
