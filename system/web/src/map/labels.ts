/** Street names on a 2D canvas: no glyph server, the browser's own fonts. Placed when the map rests, moved along while it moves. */
import { toScreen, type Camera } from '../core/camera'
import { mercatorX, mercatorY } from '../core/mercator'
import type { MapTheme } from './theme'

export interface NamedLine { name: string; rank: number; line: number[][] }
interface Label { name: string; x: number; y: number; angle: number; rank: number }

const FONT_PX = 11
export const LABELS_FROM_ZOOM = 13.6
const LABELS_MAX = 70
/** Two labels of the same street are at least this far apart, of others the second number, in pixels. */
const APART_SAME_PX = 320
const APART_PX = 14
/** A line may bend this much below its name, in radians. */
const BEND_MAX = 0.22

export class StreetLabels {
  private labels: Label[] = []
  private placedZoom = 0

  place(c: CanvasRenderingContext2D, camera: Camera, lines: readonly NamedLine[]): void {
    this.labels = []
    this.placedZoom = camera.zoom
    if (camera.zoom < LABELS_FROM_ZOOM) return
    c.font = `${FONT_PX}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`
    const taken: { name: string; x: number; y: number; half: number; angle: number }[] = []
    const widths = new Map<string, number>()
    for (const { name, rank, line } of [...lines].sort((a, b) => a.rank - b.rank)) {
      if (this.labels.length >= LABELS_MAX) break
      if (!widths.has(name)) widths.set(name, c.measureText(name).width)
      const width = widths.get(name)!
      const points = line.map(([lon, lat]) => toScreen(camera, mercatorX(lon!), mercatorY(lat!)))
      const run = straightRun(points, width + 16)
      if (!run) continue
      const [x, y] = [(run[0] + run[2]) / 2, (run[1] + run[3]) / 2]
      if (x < 30 || y < 12 || x > camera.width - 30 || y > camera.height - 12) continue
      const angle = Math.atan2(run[3] - run[1], run[2] - run[0])
      const half = width / 2
      if (taken.some((other) => collides(other, name, x, y, half, angle))) continue
      taken.push({ name, x, y, half, angle })
      const upright = Math.abs(angle) > Math.PI / 2 ? angle + Math.PI : angle
      const scale = 512 * 2 ** camera.zoom
      this.labels.push({
        name, rank, angle: upright, x: camera.x + (x - camera.width / 2) / scale, y: camera.y + (y - camera.height / 2) / scale,
      })
    }
  }

  draw(c: CanvasRenderingContext2D, camera: Camera, theme: MapTheme): void {
    if (Math.abs(camera.zoom - this.placedZoom) > 0.6) return
    c.textAlign = 'center'
    c.textBaseline = 'middle'
    c.lineJoin = 'round'
    c.lineWidth = 3
    c.strokeStyle = theme.labelHalo
    c.fillStyle = theme.label
    for (const label of this.labels) {
      const [x, y] = toScreen(camera, label.x, label.y)
      c.save()
      c.translate(x, y)
      c.rotate(label.angle)
      c.font = `${label.rank <= 3 ? '600 ' : ''}${FONT_PX}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`
      c.strokeText(label.name, 0, 0)
      c.fillText(label.name, 0, 0)
      c.restore()
    }
  }
}

function collides(
  other: { name: string; x: number; y: number; half: number; angle: number }, name: string, x: number, y: number, half: number, angle: number,
): boolean {
  const distance = Math.hypot(other.x - x, other.y - y)
  if (other.name === name && distance < APART_SAME_PX) return true
  if (distance > other.half + half + APART_PX) return false
  // Discs along both texts: cheap, and near enough for text.
  for (let i = -2; i <= 2; i++) {
    for (let j = -2; j <= 2; j++) {
      const dx = other.x + Math.cos(other.angle) * other.half * (i / 2) - x - Math.cos(angle) * half * (j / 2)
      const dy = other.y + Math.sin(other.angle) * other.half * (i / 2) - y - Math.sin(angle) * half * (j / 2)
      if (Math.hypot(dx, dy) < APART_PX + 6) return true
    }
  }
  return false
}

/** Lines of one street that meet at their ends become one: maps cut streets at every crossing, and names are longer than that. */
export function joined(lines: readonly NamedLine[]): NamedLine[] {
  const streets = new Map<string, NamedLine[]>()
  for (const line of lines) {
    const known = streets.get(line.name)
    if (known) known.push(line)
    else streets.set(line.name, [line])
  }
  return [...streets.values()].flatMap(joinStreet)
}

/** Ends closer than this, in degrees, are one place: tiles round coordinates. */
const SAME_PLACE_DEG = 0.00002
/** More pieces of one street than this are left as they are. */
const PIECES_MAX = 200

function joinStreet(pieces: NamedLine[]): NamedLine[] {
  if (pieces.length > PIECES_MAX) return pieces
  const meets = (a: number[], b: number[]): boolean => Math.abs(a[0]! - b[0]!) < SAME_PLACE_DEG && Math.abs(a[1]! - b[1]!) < SAME_PLACE_DEG
  const open = pieces.map((piece) => ({ ...piece, line: [...piece.line] }))
  const done: NamedLine[] = []
  for (let piece = open.shift(); piece; piece = open.shift()) {
    for (let grown = true; grown; ) {
      grown = false
      const [first, last] = [piece.line[0]!, piece.line.at(-1)!]
      for (let at = 0; at < open.length && !grown; at++) {
        const other = open[at]!.line
        const [from, to] = [other[0]!, other.at(-1)!]
        if (meets(last, from)) piece.line.push(...other.slice(1))
        else if (meets(last, to)) piece.line.push(...other.slice(0, -1).reverse())
        else if (meets(first, to)) piece.line.unshift(...other.slice(0, -1))
        else if (meets(first, from)) piece.line.unshift(...other.slice(1).reverse())
        else continue
        piece.rank = Math.min(piece.rank, open[at]!.rank)
        open.splice(at, 1)
        grown = true
      }
    }
    done.push(piece)
  }
  return done
}

/** The longest nearly straight part of at least `least` pixels, as [x0, y0, x1, y1]. */
export function straightRun(points: readonly [number, number][], least: number): [number, number, number, number] | null {
  let best: [number, number, number, number] | null = null
  let bestLength = least
  let start = 0
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1]!, points[at]!]
    const first = points[start]!
    const bend = Math.abs(turn(Math.atan2(b[1] - a[1], b[0] - a[0]) - Math.atan2(a[1] - first[1], a[0] - first[0])))
    if (at - 1 > start && bend > BEND_MAX) start = at - 1
    const from = points[start]!
    const length = Math.hypot(b[0] - from[0], b[1] - from[1])
    if (length > bestLength) {
      bestLength = length
      best = [from[0], from[1], b[0], b[1]]
    }
  }
  return best
}

function turn(angle: number): number {
  return ((((angle + Math.PI) % (2 * Math.PI)) + 2 * Math.PI) % (2 * Math.PI)) - Math.PI
}
