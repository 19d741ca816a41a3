import { createApp } from 'vue'

import { choose, currentLanguage, setLanguage, t } from '../../core/text'
import '../../ui/base.css'
import '../../ui/theme'
import './sign-in.css'
import App from './App.vue'

setLanguage(choose(navigator.languages))
document.documentElement.lang = currentLanguage()
document.title = `Drover · ${t('in.title')}`
createApp(App).mount('#app')
