/** The keyboard: one table, which the help shows as well. */
import { ref } from 'vue'

import type { Key } from '../../core/en'
import { ALL_STATUSES } from '../../core/status'
import type { Status } from '../../core/types'
import { nextChoice } from '../../ui/theme'
import { assigning } from './actions'
import { stage } from './faults'
import { at, scrubTo, spanMs } from './scrub'
import { can, hiddenStatuses, map, panel, refresh, rows, selectedVehicle, selectVehicle, tab } from './state'

export const helpOpen = ref(false)
const SINGLE = 'drover.keys'
export const singleKeys = ref(localStorage.getItem(SINGLE) !== 'off')

export function setSingleKeys(on: boolean): void {
  singleKeys.value = on
  localStorage.setItem(SINGLE, on ? 'on' : 'off')
}

export const KEYS: { keys: string[]; text: Key }[] = [
  { keys: ['/'], text: 'k.search' }, { keys: ['J', 'K'], text: 'k.list' }, { keys: ['Enter'], text: 'k.open' }, { keys: ['Esc'], text: 'k.close' },
  { keys: ['V', 'O', 'M', 'G'], text: 'k.tabs' }, { keys: ['U'], text: 'k.audit' }, { keys: ['X'], text: 'k.faults' }, { keys: ['1', '2', '3', '4'], text: 'k.status' }, { keys: ['F'], text: 'k.fit' }, { keys: ['W'], text: 'k.follow' },
  { keys: ['N'], text: 'k.new' }, { keys: ['A'], text: 'k.assign' }, { keys: ['[', ']'], text: 'k.scrub' }, { keys: ['L'], text: 'k.live' },
  { keys: ['T'], text: 'k.theme' }, { keys: ['?'], text: 'k.help' },
]

export function toggleStatus(status: Status): void {
  if (!hiddenStatuses.delete(status)) hiddenStatuses.add(status)
  refresh()
}

function step(by: number): void {
  const list = rows.value
  if (list.length === 0) return
  const at = selectedVehicle.value === null ? -1 : list.indexOf(selectedVehicle.value)
  selectVehicle(list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, at + by))]!)
}

function scrub(minutes: number): void {
  const time = (at.value ?? Date.now()) + minutes * 60_000
  scrubTo(time >= Date.now() ? null : Math.max(Date.now() - spanMs.value, time))
}

/** What each key does; upper and lower case are the same. */
const ACTIONS: Record<string, () => void> = {
  '/': () => {
    tab.value = 'vehicles'
    document.querySelector<HTMLInputElement>('#search')?.focus()
  },
  j: () => step(1),
  k: () => step(-1),
  v: () => (tab.value = 'vehicles'),
  o: () => (tab.value = 'orders'),
  m: () => (tab.value = 'messages'),
  g: () => (tab.value = 'areas'),
  u: () => {
    if (can.value.audit) tab.value = 'audit'
  },
  x: () => {
    if (stage.value !== null) tab.value = 'faults'
  },
  f: () => map.value?.fit(),
  w: () => map.value?.follow(!map.value.isFollowing),
  n: () => {
    if (can.value.orders) panel.value = { kind: 'new' }
  },
  a: () => {
    const order = document.activeElement?.closest<HTMLElement>('[data-order]')?.dataset['order'] ?? (panel.value?.kind === 'order' ? panel.value.id : undefined)
    if (order && can.value.orders) assigning.value = order
  },
  '[': () => scrub(-1),
  ']': () => scrub(1),
  l: () => scrubTo(null),
  t: nextChoice,
  '?': () => (helpOpen.value = true),
  '1': () => toggleStatus(ALL_STATUSES[0]!),
  '2': () => toggleStatus(ALL_STATUSES[1]!),
  '3': () => toggleStatus(ALL_STATUSES[2]!),
  '4': () => toggleStatus(ALL_STATUSES[3]!),
}

export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return
    const target = event.target as HTMLElement
    const typing = target.matches('input:not([type=range]):not([type=checkbox]), textarea, select')
    if (event.key === 'Escape') {
      if (typing) target.blur()
      else panel.value = null
      return
    }
    if (typing || !singleKeys.value) return
    const action = ACTIONS[event.key.toLowerCase()]
    if (!action) return
    event.preventDefault()
    action()
  })
}
