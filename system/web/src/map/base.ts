/** MapLibre, loaded when it is first needed: streets, trail and route under the overlays. */
import type { GeoJSONSource, Map as MapLibreMap } from 'maplibre-gl'

import type { Camera } from '../core/camera'
import { ringOf } from '../core/history'
import { mercatorX, mercatorY } from '../core/mercator'
import type { Config, LonLat } from '../core/types'
import type { NamedLine } from './labels'
import { EMPTY, layers, mapStyle, ROAD_LAYERS } from './style'
import { MAP_THEMES, type ThemeName } from './theme'

const RANKS: Record<string, number> = { motorway: 0, trunk: 1, primary: 2, secondary: 3, tertiary: 4, residential: 5, footway: 6, service: 7 }

/** An area on the map: its corners, and whether it is the chosen one or being drawn. */
export interface AreaMark { ring: readonly LonLat[]; chosen: boolean; draft: boolean }

export class BaseMap {
  private constructor(readonly map: MapLibreMap, private readonly tiled: boolean) {}

  static async create(container: HTMLElement, config: Config, theme: ThemeName, label: string): Promise<BaseMap> {
    const [library, worker] = await Promise.all([
      import('maplibre-gl'), import('maplibre-gl/dist/maplibre-gl-worker.mjs?url'), import('maplibre-gl/dist/maplibre-gl.css'),
    ])
    library.setWorkerUrl(worker.default)
    const map = new library.Map({
      container, style: mapStyle(config, theme), attributionControl: { compact: false }, dragRotate: false, pitchWithRotate: false,
      touchPitch: false, maxPitch: 0, fadeDuration: 0, maxZoom: 19, minZoom: 2, renderWorldCopies: false,
      bounds: config.bounds, fitBoundsOptions: { padding: { top: 40, left: 40, right: 60, bottom: 110 } },
      locale: { 'Map.Title': label },
    })
    // The overlays know a northward map only.
    map.touchZoomRotate.disableRotation()
    map.keyboard.disableRotation()
    return new BaseMap(map, typeof config.streets !== 'string')
  }

  camera(): Camera {
    const center = this.map.getCenter()
    const { clientWidth, clientHeight } = this.map.getContainer()
    return { x: mercatorX(center.lng), y: mercatorY(center.lat), zoom: this.map.getZoom(), width: clientWidth, height: clientHeight }
  }

  setTheme(name: ThemeName): void {
    for (const layer of layers(MAP_THEMES[name], this.tiled)) {
      for (const [property, value] of Object.entries(layer.paint ?? {})) {
        this.map.setPaintProperty(layer.id, property as never, value as never)
      }
    }
  }

  setLine(source: 'trail' | 'route', line: readonly LonLat[] | null): void {
    const data: GeoJSON.GeoJSON =
      line && line.length > 1 ? { type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: line as LonLat[] } } : EMPTY
    ;(this.map.getSource(source) as GeoJSONSource | undefined)?.setData(data)
  }

  setAreas(areas: readonly AreaMark[]): void {
    const features = areas.filter(({ ring }) => ring.length > 1).map(({ ring, chosen, draft }): GeoJSON.Feature => ({
      type: 'Feature', properties: { chosen, draft }, geometry: ring.length > 2 ? { type: 'Polygon', coordinates: [ringOf(ring)] } : { type: 'LineString', coordinates: [...ring] },
    }))
    ;(this.map.getSource('areas') as GeoJSONSource | undefined)?.setData({ type: 'FeatureCollection', features })
  }

  /** The named streets in view, for the labels. */
  namedLines(): NamedLine[] {
    const lines: NamedLine[] = []
    for (const feature of this.map.queryRenderedFeatures({ layers: ROAD_LAYERS })) {
      const name = feature.properties['name'] as string | undefined
      if (!name) continue
      const rank = RANKS[feature.properties['class'] as string] ?? 8
      if (feature.geometry.type === 'LineString') lines.push({ name, rank, line: feature.geometry.coordinates })
      else if (feature.geometry.type === 'MultiLineString') {
        for (const line of feature.geometry.coordinates) lines.push({ name, rank, line })
      }
    }
    return lines
  }
}
