/**
 * The live map in three canvases on top of each other: the base map; names, stops and clusters; vehicles. And what is under the
 * pointer. Lives outside Vue. Redraws only what changed: vehicles every frame while they glide and frames come fast, on ticks
 * otherwise; the rest when the camera or the data moves. A canvas more would cost each frame its composition.
 */
import { boundsOf, fitting, fromScreen, toScreen, type Camera } from '../core/camera'
import { cluster, CLUSTER_LIMITS, type Cluster } from '../core/cluster'
import { Fleet, FLAG_HIDDEN, FLAG_HOVERED, FLAG_SELECTED } from '../core/fleet'
import { latOf, lonOf } from '../core/mercator'
import type { Config, LonLat } from '../core/types'
import { BaseMap, type AreaMark } from './base'
import { FrameMeter } from './frames'
import { joined, LABELS_FROM_ZOOM, StreetLabels } from './labels'
import { clusterRadius, drawClusters, drawStops, type StopMark } from './marks'
import { markerPx, Markers } from './markers'
import { MAP_THEMES, type MapTheme, type ThemeName } from './theme'

/** How often clusters are gathered anew while vehicles move. */
const CLUSTER_EVERY_MS = 1000
const RATIO_MAX = 2
const FIT_PADDING_PX = 60
const FOLLOW_EVERY_MS = 1000

export interface MapEvents {
  /** A vehicle was clicked; null for the bare map. */
  pick(id: string | null): void
  /** The bare map was clicked while it asks for places. */
  place(lon: number, lat: number): void
  hover(id: string | null, x: number, y: number): void
  moved(): void
}

export class MapView {
  readonly meter = new FrameMeter()
  private base: BaseMap | null = null
  private readonly marks: CanvasRenderingContext2D
  private readonly markers: Markers | null
  private readonly labels = new StreetLabels()
  private clusters: Cluster[] = []
  private clusteredAt = -Infinity
  private clusteredZoom = NaN
  private stops: StopMark[] = []
  private theme: ThemeName
  private past: Fleet | null = null
  private visible: (fleet: Fleet, at: number) => boolean = () => true
  private selected: string | null = null
  private hovered: string | null = null
  private following = false
  private followedAt = 0
  private placing = false
  private frame = 0
  private stale = { vehicles: true, marks: true }
  private ratio = 1
  private camera: Camera
  private trail: readonly LonLat[] | null = null
  private route: readonly LonLat[] | null = null
  private areas: readonly AreaMark[] = []
  /** Vehicles drawn one by one within the view, as last counted. */
  private inView = 0
  private covered = { right: 0, bottom: 0 }
  private readonly sizes: ResizeObserver

  constructor(
    private readonly host: HTMLElement, readonly fleet: Fleet, private readonly config: Config, theme: ThemeName,
    private readonly events: MapEvents, private readonly ticksOnly: boolean,
  ) {
    this.theme = theme
    this.camera = fitting([[config.bounds[0], config.bounds[1]], [config.bounds[2], config.bounds[3]]], host.clientWidth, host.clientHeight, 40)
    this.marks = canvas(host, 2).getContext('2d')!
    const vehicles = canvas(host, 3)
    try {
      this.markers = new Markers(vehicles)
    } catch {
      this.markers = null
    }
    this.markers?.setTheme(MAP_THEMES[theme])
    this.sizes = new ResizeObserver(() => this.resize())
    this.sizes.observe(host)
    this.resize()
  }

  /** False where the browser can draw no vehicles. */
  get works(): boolean {
    return this.markers !== null
  }

  async load(label: string): Promise<void> {
    const container = document.createElement('div')
    container.className = 'map-base'
    this.host.prepend(container)
    this.base = await BaseMap.create(container, this.config, this.theme, label)
    const { map } = this.base
    map.on('render', () => {
      if (!this.takeCamera()) return
      this.drawAll()
      this.events.moved()
    })
    map.on('idle', () => {
      if (this.camera.zoom >= LABELS_FROM_ZOOM) this.labels.place(this.marks, this.camera, joined(this.base!.namedLines()))
      this.stale.marks = true
      this.wake()
    })
    map.on('click', ({ point, lngLat }) => this.clicked(point.x, point.y, lngLat.lng, lngLat.lat))
    map.on('mousemove', ({ point }) => this.pointed(point.x, point.y))
    map.on('mouseout', () => this.setHovered(null, 0, 0))
    map.on('dragstart', () => (this.following = false))
    map.once('load', () => {
      this.base!.setLine('trail', this.trail)
      this.base!.setLine('route', this.route)
      this.base!.setAreas(this.areas)
    })
    this.takeCamera()
    this.drawAll()
  }

  destroy(): void {
    cancelAnimationFrame(this.frame)
    this.sizes.disconnect()
    this.base?.map.remove()
  }

  /** Tells that the fleet changed. */
  touched(): void {
    this.stale.vehicles = true
    this.wake()
  }

  setTheme(theme: ThemeName): void {
    if (theme === this.theme) return
    this.theme = theme
    this.markers?.setTheme(MAP_THEMES[theme])
    this.base?.setTheme(theme)
    this.stale = { vehicles: true, marks: true }
    this.wake()
  }

  /** Which vehicles are to be seen; `changed` if it says something new for any of them. */
  setVisible(visible: (fleet: Fleet, at: number) => boolean, changed: boolean): void {
    this.visible = visible
    const now = performance.now()
    // Called from a timer once a second: so no frame has to gather clusters, but while zooming.
    if (changed || now - this.clusteredAt > CLUSTER_EVERY_MS / 2) this.gather(this.shownFleet(), now)
    this.touched()
  }

  /** Shows this fleet instead of the living one; null goes back. */
  setPast(past: Fleet | null): void {
    this.past = past
    this.clusteredAt = -Infinity
    this.mark(this.selected, FLAG_SELECTED, true)
    this.touched()
  }

  select(id: string | null): void {
    this.mark(this.selected, FLAG_SELECTED, false)
    this.selected = id
    this.mark(id, FLAG_SELECTED, true)
    if (id === null) this.following = false
    this.clusteredAt = -Infinity
    this.touched()
  }

  /** Points at a vehicle from elsewhere, as the pointer would. */
  pointAt(id: string | null): void {
    if (id === this.hovered) return
    this.mark(this.hovered, FLAG_HOVERED, false)
    this.hovered = id
    this.mark(id, FLAG_HOVERED, true)
    this.touched()
  }

  follow(on: boolean): void {
    this.following = on
    this.followedAt = 0
    this.touched()
  }

  get isFollowing(): boolean {
    return this.following
  }

  setTrail(line: readonly LonLat[] | null): void {
    this.trail = line
    this.base?.setLine('trail', line)
  }

  setRoute(line: readonly LonLat[] | null): void {
    this.route = line
    this.base?.setLine('route', line)
  }

  setAreas(areas: readonly AreaMark[]): void {
    this.areas = areas
    this.base?.setAreas(areas)
  }

  setStops(stops: StopMark[]): void {
    this.stops = stops
    this.stale.marks = true
    this.wake()
  }

  /** While on, a click on the map is a place, not a choice. */
  setPlacing(on: boolean): void {
    this.placing = on
    this.host.classList.toggle('placing', on)
  }

  center(): LonLat {
    return [lonOf(this.camera.x), latOf(this.camera.y)]
  }

  bounds(): [number, number, number, number] {
    return boundsOf(this.camera, 0.1)
  }

  zoom(): number {
    return this.camera.zoom
  }

  /** What lies over the map at its edges, in pixels: what is to be seen is shown beside it. */
  setCovered(right: number, bottom: number): void {
    this.covered = { right, bottom }
  }

  /** Shows all of `points`. */
  show(points: readonly LonLat[], maxZoom = 16): void {
    if (points.length === 0) return
    const { width, height } = this.camera
    const { right, bottom } = this.covered
    const to = fitting(points, width - right, height - bottom, Math.min(FIT_PADDING_PX, width / 8), maxZoom)
    const scale = 512 * 2 ** to.zoom
    this.base?.map.easeTo({ center: [lonOf(to.x + right / 2 / scale), latOf(to.y + bottom / 2 / scale)], zoom: to.zoom, duration: reduced() ? 0 : 600 })
  }

  fit(): void {
    const fleet = this.shownFleet()
    const points: LonLat[] = []
    for (let at = 0; at < fleet.count; at++) if (this.visible(fleet, at)) points.push(fleet.position(at))
    this.show(points.length ? points : [[this.config.bounds[0], this.config.bounds[1]], [this.config.bounds[2], this.config.bounds[3]]])
  }

  zoomBy(steps: number): void {
    this.base?.map.easeTo({ zoom: this.camera.zoom + steps, duration: reduced() ? 0 : 250 })
  }

  jump(lon: number, lat: number, zoom: number): void {
    this.base?.map.jumpTo({ center: [lon, lat], zoom })
  }

  /** Where a vehicle is drawn, in pixels of the host; null if it is not. */
  screenOf(id: string): { x: number; y: number; hidden: boolean } | null {
    const fleet = this.shownFleet()
    const at = fleet.indexOf(id)
    if (at < 0) return null
    const [x, y] = toScreen(this.camera, ...fleet.shown(at, performance.now()))
    return { x, y, hidden: fleet.hasFlag(at, FLAG_HIDDEN) }
  }

  vehicleAt(px: number, py: number): string | null {
    const fleet = this.shownFleet()
    const [x, y] = fromScreen(this.camera, px, py)
    const radius = Math.max(12, this.markerPx() * 0.6) / (512 * 2 ** this.camera.zoom)
    const at = fleet.nearest(x, y, radius, performance.now())
    return at < 0 ? null : fleet.ids[at]!
  }

  shownClusters(): number {
    return this.clusters.length
  }

  private markerPx(): number {
    return markerPx(this.camera.zoom, this.inView, this.camera.width * this.camera.height)
  }

  private shownFleet(): Fleet {
    return this.past ?? this.fleet
  }

  private mark(id: string | null, flag: number, on: boolean): void {
    if (id === null) return
    for (const fleet of [this.fleet, this.past]) {
      const at = fleet?.indexOf(id) ?? -1
      if (fleet && at >= 0) fleet.setFlag(at, flag, on)
    }
  }

  private clicked(px: number, py: number, lon: number, lat: number): void {
    if (this.placing) return this.events.place(lon, lat)
    const hit = this.clusters.find((each) => {
      const [x, y] = toScreen(this.camera, each.x, each.y)
      return Math.hypot(x - px, y - py) <= clusterRadius(each.count) + 3
    })
    if (hit) {
      this.base?.map.easeTo({ center: [lonOf(hit.x), latOf(hit.y)], zoom: Math.min(this.camera.zoom + 2, CLUSTER_LIMITS.untilZoom), duration: reduced() ? 0 : 450 })
      return undefined
    }
    return this.events.pick(this.vehicleAt(px, py))
  }

  private pointed(px: number, py: number): void {
    this.setHovered(this.placing ? null : this.vehicleAt(px, py), px, py)
  }

  private setHovered(id: string | null, x: number, y: number): void {
    if (id !== this.hovered) this.host.classList.toggle('pointing', id !== null)
    this.pointAt(id)
    this.events.hover(id, x, y)
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.host
    this.ratio = Math.min(RATIO_MAX, window.devicePixelRatio || 1)
    this.camera = { ...this.camera, width: clientWidth, height: clientHeight }
    this.marks.canvas.width = Math.round(clientWidth * this.ratio)
    this.marks.canvas.height = Math.round(clientHeight * this.ratio)
    this.markers?.resize(clientWidth, clientHeight, this.ratio)
    this.base?.map.resize()
    this.stale = { vehicles: true, marks: true }
    this.wake()
  }

  /** True if the camera moved. */
  private takeCamera(): boolean {
    if (!this.base) return false
    const old = this.camera
    this.camera = this.base.camera()
    return old.x !== this.camera.x || old.y !== this.camera.y || old.zoom !== this.camera.zoom || old.width !== this.camera.width
  }

  private wake(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.tick())
  }

  private tick(): void {
    this.frame = 0
    const now = performance.now()
    const gliding = this.past === null && now < this.fleet.glidingUntil
    // A slow machine draws when something new is there, and not in between.
    const each = !this.ticksOnly && !this.meter.slow(now)
    if (gliding && each) this.stale.vehicles = true
    this.followVehicle(now)
    this.draw(now)
    this.meter.done(now, performance.now() - now)
    if (gliding && each) this.wake()
  }

  private drawAll(): void {
    this.stale = { vehicles: true, marks: true }
    this.draw(performance.now())
  }

  private draw(now: number): void {
    const fleet = this.shownFleet()
    if (now - this.clusteredAt > 2 * CLUSTER_EVERY_MS || Math.floor(this.camera.zoom) !== this.clusteredZoom) this.gather(fleet, now)
    const theme = MAP_THEMES[this.theme]
    if (this.stale.vehicles) this.markers?.draw(fleet, this.camera, now, this.ratio, this.markerPx())
    if (this.stale.marks) this.drawMarks(theme)
    this.stale = { vehicles: false, marks: false }
  }

  private drawMarks(theme: MapTheme): void {
    const named = this.labels.shows(this.camera)
    // A hidden canvas is not composed.
    this.marks.canvas.hidden = !named && this.stops.length + this.clusters.length === 0
    this.marks.setTransform(this.ratio, 0, 0, this.ratio, 0, 0)
    this.marks.clearRect(0, 0, this.camera.width, this.camera.height)
    if (named) this.labels.draw(this.marks, this.camera, theme)
    drawClusters(this.marks, this.camera, this.clusters, theme)
    drawStops(this.marks, this.camera, this.stops, theme)
  }

  private gather(fleet: Fleet, now: number): void {
    this.clusteredAt = now
    this.clusteredZoom = Math.floor(this.camera.zoom)
    const before = this.clusters.length
    const { x, y, zoom, width, height } = this.camera
    const scale = 512 * 2 ** zoom
    const [halfX, halfY] = [width / 2 / scale, height / 2 / scale]
    let inView = 0
    this.clusters = cluster(
      {
        count: fleet.count, x: fleet.x, y: fleet.y, visible: (at) => this.visible(fleet, at), status: (at) => fleet.statusCode(at, now),
      },
      zoom,
      (at, hidden) => {
        // The chosen vehicle stays in sight even where others are drawn together.
        const out = hidden && !(fleet.ids[at] === this.selected && this.visible(fleet, at))
        fleet.setFlag(at, FLAG_HIDDEN, out)
        if (!out && Math.abs(fleet.x[at]! - x) < halfX && Math.abs(fleet.y[at]! - y) < halfY) inView++
      },
    )
    this.inView = inView
    if (before + this.clusters.length > 0) this.stale.marks = true
    this.stale.vehicles = true
  }

  private followVehicle(now: number): void {
    if (!this.following || this.selected === null || now - this.followedAt < FOLLOW_EVERY_MS) return
    const fleet = this.shownFleet()
    const at = fleet.indexOf(this.selected)
    if (at < 0) return
    this.followedAt = now
    this.base?.map.easeTo({ center: fleet.position(at), duration: reduced() ? 0 : FOLLOW_EVERY_MS, easing: (k) => k })
  }
}

function canvas(host: HTMLElement, level: number): HTMLCanvasElement {
  const element = document.createElement('canvas')
  element.className = 'map-overlay'
  element.style.zIndex = String(level)
  element.setAttribute('aria-hidden', 'true')
  host.append(element)
  return element
}

export function reduced(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches
}
