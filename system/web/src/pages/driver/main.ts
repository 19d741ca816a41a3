import { createApp } from 'vue'

import { storedToken, toSignIn } from '../../api/sign-in'
import { choose, currentLanguage, setLanguage } from '../../core/text'
import '../../ui/base.css'
import '../../ui/theme'
import './driver.css'
import App from './App.vue'
import { begin } from './state'

setLanguage(choose(navigator.languages))
document.documentElement.lang = currentLanguage()

const token = storedToken()
if (token === null) toSignIn('none')
else {
  void begin(token).then(() => createApp(App).mount('#app'))
  if ('serviceWorker' in navigator) {
    // Without it (a page over plain HTTP, say) everything works but opening the page while offline.
    navigator.serviceWorker.register('/sw.js', { scope: '/driver' }).catch(() => undefined)
  }
}
