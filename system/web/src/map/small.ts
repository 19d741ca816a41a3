/**
 * A small map on one 2D canvas: streets as lines, the vehicle, the goal. For pages that must open at once on a poor phone:
 * it needs no library. It shows what it is given and is not moved by hand.
 */
import { fitting, lonLatToScreen, type Camera } from '../core/camera'
import type { LonLat } from '../core/types'
import { MAP_THEMES, type MapTheme, type ThemeName } from './theme'

const WIDTHS: Record<string, [px: number, order: number]> = {
  footway: [0.6, 0], service: [0.8, 1], residential: [2.4, 2], tertiary: [3.4, 3], secondary: [4.4, 4], primary: [5, 5], trunk: [5.5, 6], motorway: [6, 7],
}
/** Zoom at which the widths above hold. */
const WIDTH_ZOOM = 15
const GLIDE_MS = 900

export interface SmallMark { at: LonLat; kind: 'goal' | 'stop'; label?: string }

export class SmallMap {
  private readonly context: CanvasRenderingContext2D
  private streets: GeoJSON.Feature[] = []
  private vehicle: { from: LonLat; to: LonLat; start: number; heading: number | null } | null = null
  private marks: SmallMark[] = []
  private line: LonLat[] = []
  private theme: ThemeName
  private camera: Camera | null = null
  private backdrop: HTMLCanvasElement | null = null
  private frame = 0
  private readonly sizes: ResizeObserver

  constructor(private readonly canvas: HTMLCanvasElement, theme: ThemeName, private readonly padding = 44) {
    this.context = canvas.getContext('2d')!
    this.theme = theme
    this.sizes = new ResizeObserver(() => this.refit())
    this.sizes.observe(canvas)
  }

  destroy(): void {
    cancelAnimationFrame(this.frame)
    this.sizes.disconnect()
  }

  setStreets(collection: GeoJSON.FeatureCollection): void {
    this.streets = collection.features
    this.refit()
  }

  setTheme(theme: ThemeName): void {
    this.theme = theme
    this.refit()
  }

  setMarks(marks: SmallMark[]): void {
    this.marks = marks
    this.refit()
  }

  setLine(line: LonLat[]): void {
    this.line = line
    this.refit()
  }

  /** Moves the vehicle; null hides it. */
  setVehicle(at: LonLat | null, heading: number | null): void {
    const shown = this.shown(performance.now())
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches
    const fresh = this.vehicle === null
    this.vehicle = at === null ? null : { from: calm || !shown ? at : shown, to: at, start: performance.now(), heading }
    if (at === null || fresh || this.camera === null || this.leaves(at)) this.refit()
    else this.wake()
  }

  private shown(now: number): LonLat | null {
    if (!this.vehicle) return null
    const { from, to, start } = this.vehicle
    const k = Math.min(1, (now - start) / GLIDE_MS)
    return [from[0] + (to[0] - from[0]) * k, from[1] + (to[1] - from[1]) * k]
  }

  private leaves(at: LonLat): boolean {
    const [x, y] = lonLatToScreen(this.camera!, ...at)
    const edge = this.padding / 2
    return x < edge || y < edge || x > this.camera!.width - edge || y > this.camera!.height - edge
  }

  private refit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas
    const points = [...this.marks.map((mark) => mark.at), ...(this.vehicle ? [this.vehicle.to] : [])]
    if (width === 0 || points.length === 0) return
    const ratio = Math.min(2, devicePixelRatio || 1)
    this.canvas.width = width * ratio
    this.canvas.height = height * ratio
    this.camera = fitting(points, width, height, this.padding, 16)
    this.backdrop = document.createElement('canvas')
    this.backdrop.width = this.canvas.width
    this.backdrop.height = this.canvas.height
    const c = this.backdrop.getContext('2d')!
    c.scale(ratio, ratio)
    this.drawStreets(c, this.camera, MAP_THEMES[this.theme])
    this.wake()
  }

  private wake(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame((now) => this.draw(now))
  }

  private draw(now: number): void {
    this.frame = 0
    const { context: c, camera } = this
    if (!camera || !this.backdrop) return
    const theme = MAP_THEMES[this.theme]
    c.setTransform(1, 0, 0, 1, 0, 0)
    c.drawImage(this.backdrop, 0, 0)
    const ratio = this.canvas.width / camera.width
    c.setTransform(ratio, 0, 0, ratio, 0, 0)
    for (const mark of this.marks) drawGoal(c, ...lonLatToScreen(camera, ...mark.at), theme, mark.label ?? '', mark.kind === 'goal')
    const at = this.shown(now)
    if (at && this.vehicle) {
      drawVan(c, ...lonLatToScreen(camera, ...at), theme, this.vehicle.heading)
      if (now - this.vehicle.start < GLIDE_MS) this.wake()
    }
  }

  private drawStreets(c: CanvasRenderingContext2D, camera: Camera, theme: MapTheme): void {
    c.fillStyle = theme.land
    c.fillRect(0, 0, camera.width, camera.height)
    const trace = (line: number[][]): void => {
      line.forEach(([lon, lat], at) => {
        const [x, y] = lonLatToScreen(camera, lon!, lat!)
        if (at === 0) c.moveTo(x, y)
        else c.lineTo(x, y)
      })
    }
    for (const feature of this.streets) {
      if (feature.geometry.type !== 'Polygon') continue
      c.fillStyle = feature.properties?.['class'] === 'water' ? theme.water : theme.park
      c.beginPath()
      for (const ring of feature.geometry.coordinates) trace(ring)
      c.fill()
    }
    const scale = Math.max(0.4, 1.5 ** (camera.zoom - WIDTH_ZOOM))
    c.lineCap = c.lineJoin = 'round'
    for (const pass of ['casing', 'road'] as const) {
      for (const [name, [px, order]] of Object.entries(WIDTHS)) {
        c.strokeStyle = pass === 'casing' ? theme.casing : order >= 4 ? theme.roadMajor : order === 0 ? theme.path : theme.road
        c.lineWidth = px * scale + (pass === 'casing' ? 1.4 : 0)
        c.beginPath()
        for (const { properties, geometry } of this.streets) {
          if (properties?.['class'] === name && geometry.type === 'LineString') trace(geometry.coordinates)
        }
        c.stroke()
      }
    }
    if (this.line.length > 1) {
      c.strokeStyle = theme.accent
      c.lineWidth = 3
      c.setLineDash([4, 6])
      c.beginPath()
      trace(this.line)
      c.stroke()
      c.setLineDash([])
    }
  }
}

function drawVan(c: CanvasRenderingContext2D, x: number, y: number, theme: MapTheme, heading: number | null): void {
  c.save()
  c.translate(x, y)
  c.beginPath()
  c.arc(0, 0, 17, 0, 2 * Math.PI)
  c.fillStyle = theme.halo
  c.shadowColor = 'rgba(0,0,0,0.35)'
  c.shadowBlur = 8
  c.fill()
  c.shadowBlur = 0
  c.rotate(((heading ?? 0) * Math.PI) / 180)
  c.fillStyle = theme.status[0]
  c.beginPath()
  c.moveTo(0, -11)
  c.lineTo(8, 9)
  c.lineTo(0, 5)
  c.lineTo(-8, 9)
  c.closePath()
  c.fill()
  c.restore()
}

function drawGoal(c: CanvasRenderingContext2D, x: number, y: number, theme: MapTheme, label: string, strong: boolean): void {
  c.beginPath()
  c.moveTo(x, y)
  c.lineTo(x - 7, y - 13)
  c.arc(x, y - 22, 12, Math.PI * 0.75, Math.PI * 2.25)
  c.closePath()
  c.fillStyle = strong ? theme.accent : theme.status[2]
  c.strokeStyle = theme.halo
  c.lineWidth = 2.5
  c.fill()
  c.stroke()
  c.fillStyle = theme.halo
  if (label) {
    c.font = '700 12px system-ui, sans-serif'
    c.textAlign = 'center'
    c.textBaseline = 'middle'
    c.fillText(label, x, y - 21.5)
  } else {
    c.beginPath()
    c.arc(x, y - 22, 4, 0, 2 * Math.PI)
    c.fill()
  }
}
