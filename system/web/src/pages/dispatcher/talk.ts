/** The vehicle to which somebody writes, and what its tracker said. */
import { ref } from 'vue'

import { newKey } from '../../api/http'
import { DraftKey } from '../../core/draft-key'
import { trackerState } from '../../core/status'
import { clock, t } from '../../core/text'
import type { TrackerStates } from '../../core/types'

export const messageTo = ref<string | null>(null)
export const messageKey = new DraftKey(newKey)

/** How far it is on its way to the tracker; nothing of what does not go there. */
export function trackerText(states: TrackerStates | null | undefined): string {
  const state = trackerState(states)
  return state ? t(`tr.${state}`) : ''
}

/** When the tracker got how far, for whoever points at it. */
export function trackerTimes(states: TrackerStates | null | undefined): string {
  const moments = (['queued', 'delivered', 'applied', 'expired', 'refused'] as const).flatMap((state) => {
    const at = states?.[state]
    return at ? [`${t(`tr.${state}`)} ${clock(at)}`] : []
  })
  return moments.join(', ')
}
