/** Areas that have a name: those of the tenant, the chosen one, and the one that is being drawn. */
import { computed, reactive, ref, shallowRef } from 'vue'

import { cornersOf, crosses } from '../../core/history'
import { t } from '../../core/text'
import type { Geofence, LonLat } from '../../core/types'
import { attempt, map, panel, say, theApi } from './state'

export const areas = shallowRef<Geofence[] | null>(null)
export const areaProblem = ref('')
export const chosenArea = ref<string | null>(null)
/** The area under the pencil: `id` is of one that is changed, null of a new one. */
export const sketchArea = reactive({ on: false, id: null as string | null, title: '', corners: [] as LonLat[] })
export const chosen = computed(() => areas.value?.find((area) => area.id === chosenArea.value) ?? null)
/** Why it can not be saved yet; empty if it can. */
export const sketchProblem = computed(() => {
  const left = 3 - sketchArea.corners.length
  if (left > 0) return left === 1 ? t('g.need.1') : t('g.need', { n: left })
  if (crosses(sketchArea.corners)) return t('g.crosses')
  return sketchArea.title.trim() ? '' : t('g.need.name')
})

export async function readAreas(): Promise<void> {
  try {
    const found = await theApi().geofences()
    areas.value = found.sort((a, b) => a.properties.name.localeCompare(b.properties.name))
    areaProblem.value = ''
  } catch (error) {
    areas.value ??= []
    areaProblem.value = (error as Error).message
  }
  drawAreas()
}

/** Puts all of them on the map, the chosen one stronger, and what is being drawn. */
export function drawAreas(): void {
  const drawn = (areas.value ?? []).filter((area) => area.id !== sketchArea.id || !sketchArea.on)
  map.value?.setAreas(drawn.map((area) => ({ ring: cornersOf(area.geometry.coordinates), chosen: area.id === chosenArea.value, draft: false }))
    .concat(sketchArea.on ? [{ ring: [...sketchArea.corners], chosen: true, draft: true }] : []))
  if (sketchArea.on) map.value?.setStops(sketchArea.corners.map(([lon, lat], at) => ({ lon, lat, label: String(at + 1), done: false, late: false })))
}

export function choose(id: string | null): void {
  chosenArea.value = id
  drawAreas()
  if (chosen.value) map.value?.show(cornersOf(chosen.value.geometry.coordinates))
}

export function begin(area: Geofence | null): void {
  panel.value = null
  Object.assign(sketchArea, { on: true, id: area?.id ?? null, title: area?.properties.name ?? '', corners: area ? cornersOf(area.geometry.coordinates) : [] })
  map.value?.setPlacing(true)
  drawAreas()
}

export function end(): void {
  if (!sketchArea.on) return
  sketchArea.on = false
  map.value?.setPlacing(false)
  map.value?.setStops([])
  drawAreas()
}

export function addCorner(lon: number, lat: number): void {
  sketchArea.corners.push([lon, lat])
  drawAreas()
}

export function removeCorner(at: number): void {
  sketchArea.corners.splice(at, 1)
  drawAreas()
}

/** Saves what was drawn: a new area, or another shape and name of the one that it is. */
export async function save(): Promise<void> {
  const { id, corners } = sketchArea
  const name = sketchArea.title.trim()
  const made = await attempt(t('g.title'), () => (id === null ? theApi().drawGeofence(name, corners) : theApi().changeGeofence(id, name, corners)))
  if (!made) return
  say(t('g.saved', { name }))
  end()
  await readAreas()
  choose(made.id)
}

export async function forget(area: Geofence): Promise<void> {
  const gone = await attempt(t('g.remove'), async () => (await theApi().removeGeofence(area.id), true))
  if (!gone) return
  say(t('g.removed', { name: area.properties.name }))
  if (chosenArea.value === area.id) chosenArea.value = null
  await readAreas()
}
