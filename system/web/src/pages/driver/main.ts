import { createApp } from 'vue'

import { storedToken, toSignIn } from '../../api/sign-in'
import { choose, currentLanguage, setLanguage, t } from '../../core/text'
import '../../ui/base.css'
import '../../ui/theme'
import './driver.css'
import App from './App.vue'
import { begin } from './state'

setLanguage(choose(navigator.languages))
document.documentElement.lang = currentLanguage()

const RETRY_MS = 2000
const token = storedToken()
if (token === null) toSignIn('none')
else {
  void open(token)
  if ('serviceWorker' in navigator) {
    // Without it (a page over plain HTTP, say) everything works but opening the page while offline.
    navigator.serviceWorker.register('/sw.js', { scope: '/driver' }).catch(() => undefined)
  }
}

async function open(token: string): Promise<void> {
  while (!(await begin(token))) {
    document.querySelector('#app')!.textContent = t('in.noserver')
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
  createApp(App).mount('#app')
}
