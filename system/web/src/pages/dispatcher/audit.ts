/** The audit trail: the notes that are listed, what they are narrowed to, and what opens behind one. */
import { computed, reactive, ref, shallowRef } from 'vue'

import { ApiError } from '../../api/http'
import { goalOf, merged, type Goal } from '../../core/audit'
import { t } from '../../core/text'
import type { AuditEntry, Page } from '../../core/types'
import { choose, readAreas } from './areas'
import { fleet, messages, orders, panel, routes, selectVehicle, tab, theApi } from './state'

/** Notes of one page. */
const PAGE = 50
/** How long somebody may type before it is asked. */
const TYPING_MS = 350

export const filter = reactive({ actor: '', action: '', subject: '' })
export const isNarrow = computed(() => Object.values(filter).some((text) => text.trim() !== ''))
/** Null until the first answer. */
export const trail = shallowRef<Page<AuditEntry> | null>(null)
export const trailProblem = ref('')
export const reading = ref(false)
const areaNames = shallowRef(new Map<string, string>())

/** Who is named in what is listed: to choose from. */
export const actors = computed(() => [...new Set((trail.value?.items ?? []).map((entry) => entry.actor).filter((name) => name !== ''))].sort((a, b) => a.localeCompare(b)))

/** Answers to a question that was asked anew since are thrown away. */
let asked = 0

async function ask(cursor: string | null, take: (page: Page<AuditEntry>) => void): Promise<void> {
  const mine = ++asked
  const wanted = Object.fromEntries(Object.entries(filter).map(([name, text]) => [name, text.trim()]).filter(([, text]) => text !== ''))
  reading.value = true
  try {
    const page = await theApi().audit({ ...wanted, limit: String(PAGE), ...(cursor === null ? {} : { cursor }) })
    if (mine !== asked) return
    take(page)
    trailProblem.value = ''
  } catch (error) {
    if (mine !== asked) return
    trailProblem.value = error instanceof ApiError && error.status === 0 ? t('err.net') : (error as Error).message
  }
  reading.value = false
}

/** Asks for the newest notes, and forgets those that are listed. */
export async function readTrail(): Promise<void> {
  await ask(null, (page) => (trail.value = page))
}

/** What came since, put on top; what is listed stays. */
export async function freshen(): Promise<void> {
  if (reading.value) return
  await ask(null, (page) => (trail.value = trail.value === null ? page : merged(trail.value, page)))
}

/** The notes before those that are listed. */
export async function older(): Promise<void> {
  const cursor = trail.value?.next ?? null
  if (cursor === null) return
  await ask(cursor, (page) => (trail.value = { items: [...(trail.value?.items ?? []), ...page.items], next: page.next }))
}

let typing: ReturnType<typeof setTimeout> | undefined
/** The filter has changed, perhaps by a letter of many. */
export function narrowSoon(): void {
  clearTimeout(typing)
  typing = setTimeout(() => void readTrail(), TYPING_MS)
}

export function narrow(to: Partial<typeof filter>): void {
  clearTimeout(typing)
  Object.assign(filter, to)
  void readTrail()
}

/** Names of areas, so that notes lead to them. Without them they do not. */
export async function readNames(): Promise<void> {
  try {
    areaNames.value = new Map((await theApi().geofences()).map((area) => [area.id, area.properties.name]))
  } catch {
    areaNames.value = new Map()
  }
}

export function goal(entry: AuditEntry): Goal | null {
  return goalOf(entry, { vehicles: { has: (id) => fleet.indexOf(id) >= 0 }, orders: orders.value, messages: messages.value, routes: routes.value, areas: areaNames.value })
}

export async function open({ kind, id }: Goal): Promise<void> {
  if (kind === 'order') panel.value = { kind: 'order', id }
  else if (kind === 'vehicle') selectVehicle(id)
  else {
    await readAreas()
    panel.value = null
    tab.value = 'areas'
    choose(id)
  }
}
