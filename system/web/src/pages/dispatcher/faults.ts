/** The faults of `twin watch`, while somebody looks at them: its endpoint is no hub's, and answers while hubs are down. */
import { computed, ref, shallowRef } from 'vue'

import { request } from '../../api/http'
import { trouble, type Deed, type Stage } from '../../core/faults'
import { t } from '../../core/text'
import { say, theApi } from './state'

const LOOK_EVERY_MS = 1000

let base: string | null = null
/** What can be broken; null where nothing can, and before the first answer. */
export const stage = shallowRef<Stage | null>(null)
/** True while the endpoint does not answer. */
export const silent = ref(false)
export const ill = computed(() => (stage.value === null ? 0 : trouble(stage.value).active))

/** Looks whether there is such an endpoint at all: it answers on its own machine alone. */
export async function findFaults(url: string | undefined): Promise<void> {
  if (!url) return
  base = url.replace(/\/$/, '')
  if (await take(request('GET', `${base}/faults`, theApi().token))) setInterval(() => void look(), LOOK_EVERY_MS)
}

async function look(): Promise<void> {
  // A page that nobody sees does not ask.
  if (document.visibilityState === 'visible') silent.value = !(await take(request('GET', `${base}/faults`, theApi().token)))
}

async function take(asked: ReturnType<typeof request>): Promise<boolean> {
  const answer = await asked
  if (answer.status === 200) stage.value = answer.body as Stage
  return answer.status === 200
}

async function change(path: string, what: string): Promise<void> {
  const answer = await request('POST', `${base}${path}`, theApi().token)
  if (answer.status === 200) stage.value = answer.body as Stage
  else say(t('err.what', { what, detail: answer.status === 0 ? t('err.net') : (answer.problem.detail ?? String(answer.status)) }), true)
}

export const strike = (fault: number, what: string): Promise<void> => change(`/faults/${fault}/strike`, what)
export const mend = (fault: number, what: string): Promise<void> => change(`/faults/${fault}/mend`, what)
export const doTo = (node: string, deed: Deed): Promise<void> => change(`/nodes/${node}/${deed}`, `${t(`x.do.${deed}`)} ${node}`)
