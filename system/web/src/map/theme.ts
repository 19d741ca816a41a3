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
    land: '#e9ece6', water: '#bcd7e6', park: '#d3e4c9', road: '#ffffff', roadMajor: '#fff1cc', casing: '#c6ccc4', path: '#d6dad2',
    label: '#4d5a64', labelHalo: '#f7f8f5', accent: '#2b4fd0', accentSoft: 'rgba(43,79,208,0.12)', halo: '#ffffff',
    status: ['#007a5a', '#c26a00', '#51606e', '#a3347a'], clusterFill: '#ffffff', clusterInk: '#17212b',
  },
  dark: {
    land: '#121a20', water: '#0d2b3a', park: '#152a22', road: '#33424d', roadMajor: '#4a5a66', casing: '#0b1116', path: '#222e37',
    label: '#a3b1bd', labelHalo: '#10171c', accent: '#8ea8ff', accentSoft: 'rgba(142,168,255,0.14)', halo: '#0b1014',
    status: ['#38d9a2', '#ffb340', '#a9b8c6', '#f28ac6'], clusterFill: '#1b252d', clusterInk: '#e8eef3',
  },
}

/** "#rrggbb" as three floats of 0 to 1. */
export function rgb(hex: string): [number, number, number] {
  const value = parseInt(hex.slice(1), 16)
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255]
}
