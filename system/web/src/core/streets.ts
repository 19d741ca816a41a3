/** Which street a position is at: the nearest named line, found by a grid. Pure. */
import { metersBetween } from './mercator'

interface Piece { name: string; ax: number; ay: number; bx: number; by: number }
/** About 200 m to the north and 100 m to the east at 60 degrees. */
const CELL_DEG = 0.002
/** Further away than this no street is named. */
export const NEAR_M = 250

export class Streets {
  private readonly cells = new Map<string, Piece[]>()

  constructor(collection: GeoJSON.FeatureCollection) {
    for (const feature of collection.features) {
      const name = feature.properties?.['name'] as string | undefined
      if (!name || feature.geometry.type !== 'LineString') continue
      const line = feature.geometry.coordinates
      for (let at = 1; at < line.length; at++) {
        const [a, b] = [line[at - 1]!, line[at]!]
        this.insert({ name, ax: a[0]!, ay: a[1]!, bx: b[0]!, by: b[1]! })
      }
    }
  }

  /** Name of the nearest street; null where none is near. */
  near(lon: number, lat: number): string | null {
    const column = Math.floor(lon / CELL_DEG)
    const row = Math.floor(lat / CELL_DEG)
    let best: string | null = null
    let bestM = NEAR_M
    for (let y = row - 1; y <= row + 1; y++) {
      for (let x = column - 1; x <= column + 1; x++) {
        for (const piece of this.cells.get(`${x}/${y}`) ?? []) {
          const meters = distance(piece, lon, lat)
          if (meters < bestM) [best, bestM] = [piece.name, meters]
        }
      }
    }
    return best
  }

  private insert(piece: Piece): void {
    const [west, east] = [Math.min(piece.ax, piece.bx), Math.max(piece.ax, piece.bx)]
    const [south, north] = [Math.min(piece.ay, piece.by), Math.max(piece.ay, piece.by)]
    for (let y = Math.floor(south / CELL_DEG); y <= Math.floor(north / CELL_DEG); y++) {
      for (let x = Math.floor(west / CELL_DEG); x <= Math.floor(east / CELL_DEG); x++) {
        const key = `${x}/${y}`
        const cell = this.cells.get(key)
        if (cell) cell.push(piece)
        else this.cells.set(key, [piece])
      }
    }
  }
}

function distance(piece: Piece, lon: number, lat: number): number {
  const shrink = Math.cos((lat * Math.PI) / 180)
  const dx = (piece.bx - piece.ax) * shrink
  const dy = piece.by - piece.ay
  const length = dx * dx + dy * dy
  const k = length === 0 ? 0 : Math.max(0, Math.min(1, ((lon - piece.ax) * shrink * dx + (lat - piece.ay) * dy) / length))
  return metersBetween(lon, lat, piece.ax + (piece.bx - piece.ax) * k, piece.ay + (piece.by - piece.ay) * k)
}
