/** Colours of the map and its marks in both themes; those of the page are in `ui/base.css`. */
export type ThemeName = 'light' | 'dark'

export interface MapTheme {
  land: string
  water: string
  park: string
  road: string
  roadMajor: string
  casing: string
  path: string
  label: string
  labelHalo: string
  accent: string
  accentSoft: string
  halo: string
  /** By status code: moving, idling, stopped, silent. */
  status: [string, string, string, string]
  clusterFill: string
  clusterInk: string
}

export const MAP_THEMES: Record<ThemeName, MapTheme> = {
  light: {
    land: '#eef0eb', water: '#c9dde8', park: '#dbe8d3', road: '#ffffff', roadMajor: '#fff6df', casing: '#d5d9d3', path: '#dfe2dc',
    label: '#4d5a64', labelHalo: '#f7f8f5', accent: '#2b4fd0', accentSoft: 'rgba(43,79,208,0.12)', halo: '#ffffff',
    status: ['#007a5a', '#c26a00', '#51606e', '#a3347a'], clusterFill: '#ffffff', clusterInk: '#17212b',
  },
  dark: {
    land: '#12191f', water: '#0c2430', park: '#152620', road: '#2b3842', roadMajor: '#3a4853', casing: '#0d1318', path: '#202b33',
    label: '#a3b1bd', labelHalo: '#10171c', accent: '#8ea8ff', accentSoft: 'rgba(142,168,255,0.14)', halo: '#0b1014',
    status: ['#38d9a2', '#ffb340', '#a9b8c6', '#f28ac6'], clusterFill: '#1b252d', clusterInk: '#e8eef3',
  },
}

/** "#rrggbb" as three floats of 0 to 1. */
export function rgb(hex: string): [number, number, number] {
  const value = parseInt(hex.slice(1), 16)
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255]
}
