/** The base map as a MapLibre style: streets by class, water, parks; trail and route on top. No glyphs, no sprites. Pure. */
import type { LayerSpecification, SourceSpecification, StyleSpecification } from 'maplibre-gl'

import type { Config } from '../core/types'
import { MAP_THEMES, type MapTheme, type ThemeName } from './theme'

/** Width in pixels at zooms 11, 14 and 18, from the narrowest class to the widest: drawn in this order. */
const ROADS: [classes: string[], widths: [number, number, number], major: boolean][] = [
  [['footway'], [0, 0.8, 4], false],
  [['service'], [0.2, 1, 7], false],
  [['residential'], [0.5, 3, 16], false],
  [['tertiary'], [0.8, 3.8, 19], false],
  [['secondary'], [1.2, 4.6, 22], true],
  [['primary'], [1.6, 5.4, 26], true],
  [['trunk', 'motorway'], [2, 6.5, 30], true],
]
/** Layer of our vector tiles, where the hub cuts the streets into tiles. */
const TILE_LAYER = 'streets'
export const EMPTY: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] }
export const ROAD_LAYERS = ROADS.map(([classes]) => `road-${classes[0]}`)

function source(config: Config): SourceSpecification {
  if (typeof config.streets === 'string') {
    return { type: 'geojson', data: config.streets, attribution: config.attribution, tolerance: 0.3, maxzoom: 16 }
  }
  const tiles = Array.isArray(config.streets.tiles) ? config.streets.tiles : [config.streets.tiles]
  return {
    type: 'vector', tiles: tiles.map((url) => new URL(url, location.href).href.replaceAll('%7B', '{').replaceAll('%7D', '}')),
    minzoom: 5, maxzoom: 14, attribution: config.attribution,
  }
}

export function layers(theme: MapTheme, tiled: boolean): LayerSpecification[] {
  const from = tiled ? { source: 'streets', 'source-layer': TILE_LAYER } : { source: 'streets' }
  const area = (name: string, color: string): LayerSpecification => ({
    id: `area-${name}`, type: 'fill', ...from, filter: ['==', ['get', 'class'], name], paint: { 'fill-color': color },
  })
  const line = (
    id: string, classes: string[], color: string, widths: [number, number, number], extra: number,
  ): LayerSpecification => ({
    id, type: 'line', ...from, filter: ['in', ['get', 'class'], ['literal', classes]], layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: {
      'line-color': color,
      'line-width': [
        'interpolate', ['exponential', 1.5], ['zoom'], 11, widths[0] + (widths[0] > 0 ? extra / 2 : 0), 14, widths[1] + extra, 18, widths[2] + extra,
      ],
    },
  })
  return [
    { id: 'land', type: 'background', paint: { 'background-color': theme.land } },
    area('park', theme.park),
    area('water', theme.water),
    ...ROADS.slice(1).map(([classes, widths]) => line(`casing-${classes[0]}`, classes, theme.casing, widths, 1.6)),
    ...ROADS.map(([classes, widths, major]) =>
      line(`road-${classes[0]}`, classes, classes[0] === 'footway' ? theme.path : major ? theme.roadMajor : theme.road, widths, 0),
    ),
    {
      id: 'areas-fill', type: 'fill', source: 'areas',
      paint: { 'fill-color': theme.accent, 'fill-opacity': ['case', ['get', 'chosen'], 0.22, 0.1] },
    },
    {
      id: 'areas-edge', type: 'line', source: 'areas', layout: { 'line-join': 'round' },
      paint: { 'line-color': theme.accent, 'line-width': ['case', ['get', 'chosen'], 2.5, 1.5] },
    },
    {
      id: 'trail', type: 'line', source: 'trail', layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: {
        'line-width': ['interpolate', ['linear'], ['zoom'], 11, 2, 17, 4.5],
        'line-gradient': ['interpolate', ['linear'], ['line-progress'], 0, theme.accentSoft, 1, theme.accent],
      },
    },
    {
      id: 'route', type: 'line', source: 'route', layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: { 'line-color': theme.accent, 'line-width': 3, 'line-dasharray': [1.5, 2] },
    },
  ]
}

export function mapStyle(config: Config, theme: ThemeName): StyleSpecification {
  return {
    version: 8,
    sources: {
      streets: source(config),
      trail: { type: 'geojson', data: EMPTY, lineMetrics: true },
      route: { type: 'geojson', data: EMPTY },
      areas: { type: 'geojson', data: EMPTY },
    },
    layers: layers(MAP_THEMES[theme], typeof config.streets !== 'string'),
  }
}
