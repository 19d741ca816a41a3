import { createApp } from 'vue'

import { Api, ApiError, loadConfig } from '../../api/http'
import { storedToken, toSignIn } from '../../api/sign-in'
import { choose, currentLanguage, setLanguage, t } from '../../core/text'
import '../../ui/base.css'
import '../../ui/theme'
import './dispatcher.css'
import App from './App.vue'
import { start } from './state'

const RETRY_MS = 2000

setLanguage(choose(navigator.languages))
document.documentElement.lang = currentLanguage()

async function begin(): Promise<void> {
  const token = storedToken()
  if (token === null) return toSignIn('none')
  try {
    const [config, me] = await Promise.all([loadConfig(), new Api(token).me()])
    if (me.role === 'driver') return location.replace('/driver')
    document.title = `Drover · ${config.name}`
    start(token, me, config)
    createApp(App).mount('#app')
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return toSignIn('expired')
    document.querySelector('#app')!.textContent = t('in.noserver')
    setTimeout(() => void begin(), RETRY_MS)
  }
  return undefined
}

void begin()
