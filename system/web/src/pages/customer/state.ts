/** One delivery, by its share link: asked for every few seconds, the vehicle live while it may be seen. */
import { ref, shallowRef } from 'vue'

import { Api, ApiError, loadConfig } from '../../api/http'
import { Link } from '../../api/link'
import type { LinkState } from '../../core/session'
import type { Config, Delivery, LonLat } from '../../core/types'

const EVERY_MS = 10_000
const RETRY_MS = 3_000
/** A vehicle without a newer fix for this long is not drawn any more. */
export const HIDE_AFTER_MS = 120_000

export const token = decodeURIComponent(location.pathname.replace(/^\/d\//, ''))
export const delivery = shallowRef<Delivery | null>(null)
export const config = shallowRef<Config | null>(null)
/** Monotonic time of the newest answer, and of now (once a second). */
export const answeredAt = ref<number | null>(null)
export const now = ref(performance.now())
export const trouble = ref(false)
export const over = ref(false)
export const linkState = ref<LinkState>('connecting')
export const vehicle = shallowRef<{ at: LonLat; heading: number | null; seenAt: number } | null>(null)

const api = new Api(token)
let link: Link | null = null
let timer: ReturnType<typeof setTimeout> | undefined

export function begin(): void {
  void ask()
  setInterval(() => {
    now.value = performance.now()
    if (vehicle.value && now.value - vehicle.value.seenAt > HIDE_AFTER_MS) vehicle.value = null
  }, 1000)
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void ask()
  })
}

async function ask(): Promise<void> {
  clearTimeout(timer)
  try {
    delivery.value = await api.delivery()
    answeredAt.value = performance.now()
    trouble.value = false
    if (delivery.value.status === 'over') return end()
    // The status is painted first; what the map needs comes after.
    const { session, live_map: home } = delivery.value
    requestAnimationFrame(() => setTimeout(() => follow(session === undefined ? token : session, home ?? null), 0))
  } catch (error) {
    if (error instanceof ApiError && [401, 403, 404, 410].includes(error.status)) return end()
    trouble.value = true
  }
  if (!over.value) timer = setTimeout(() => void ask(), trouble.value ? RETRY_MS : EVERY_MS)
  return undefined
}

function end(): void {
  over.value = true
  follow(null)
}

let usedToken: string | null = null

/** Follows the vehicle with `ticket`, best at `home`; null while it may not be seen. A newer ticket serves when the link asks again. */
function follow(ticket: string | null, home: string | null = null): void {
  if (!config.value) void loadConfig().then((loaded) => (config.value = loaded)).catch(() => undefined)
  if (ticket === null) {
    if (usedToken !== null) link?.stop()
    usedToken = null
    vehicle.value = null
    return
  }
  link?.goTo(home)
  if (link === null) link = newLink(ticket, home)
  else if (usedToken === null || linkState.value === 'refused') link.setToken(ticket)
  usedToken = ticket
}

function newLink(ticket: string, home: string | null): Link {
  const made = new Link(ticket, 'drover.json', {
    position: () => undefined,
    features: (features) => {
      const feature = features.at(-1)
      if (!feature?.geometry || usedToken === null) return
      vehicle.value = {
        at: feature.geometry.coordinates, heading: feature.properties.heading_deg ?? null, seenAt: performance.now() - (feature.properties.age_ms ?? 0),
      }
    },
    gone: () => {
      vehicle.value = null
      void ask()
    },
    event: () => void ask(),
    state: (state, reason) => {
      linkState.value = state
      // A ticket lasts for a while only: the next answer brings another.
      if (state === 'refused' && reason !== 'stopped') setTimeout(() => void ask(), RETRY_MS)
    },
    welcome: () => undefined,
    restart: () => undefined,
    problem: () => undefined,
    slept: (ms) => {
      if (vehicle.value) vehicle.value = { ...vehicle.value, seenAt: vehicle.value.seenAt - ms }
      if (answeredAt.value !== null) answeredAt.value -= ms
    },
  })
  made.goTo(home)
  made.subscribe('live_updates:all')
  made.start()
  return made
}
