/** Asks when a vehicle will be at its stops, for as long as somebody looks. */
import { onBeforeUnmount, shallowRef, watch, type Ref } from 'vue'

import type { Api } from '../api/http'
import { byStop, PREDICTION_MAX_AGE_MS } from '../core/arrivals'
import type { Arrival, Arrivals } from '../core/types'

const EVERY_MS = 20_000

/** Predictions by stop, of the vehicle whose name `vehicle` gives; empty of none, and why in `none`. */
export function useArrivals(api: () => Api, vehicle: () => string | null): { arrivals: Ref<Map<string, Arrival>>; none: Ref<string | null> } {
  const arrivals = shallowRef(new Map<string, Arrival>())
  const none = shallowRef<string | null>(null)
  let askedAt = 0
  let timer: ReturnType<typeof setInterval> | undefined

  async function ask(): Promise<void> {
    const wanted = vehicle()
    if (wanted === null || document.visibilityState !== 'visible') return
    let answer: Arrivals | null = null
    try {
      answer = await api().arrivals(wanted)
      askedAt = performance.now()
    } catch {
      // What was foretold a while ago is not shown any more.
      if (performance.now() - askedAt < PREDICTION_MAX_AGE_MS) return
    }
    if (wanted !== vehicle()) return
    arrivals.value = byStop(answer)
    none.value = answer?.none ?? null
  }

  watch(vehicle, () => {
    arrivals.value = new Map()
    none.value = null
    void ask()
  }, { immediate: true })
  timer = setInterval(() => void ask(), EVERY_MS)
  onBeforeUnmount(() => clearInterval(timer))
  return { arrivals, none }
}
