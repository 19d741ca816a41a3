import { createApp } from 'vue'

import { choose, currentLanguage, setLanguage, t } from '../../core/text'
import '../../ui/base.css'
import '../../ui/theme'
import './customer.css'
import App from './App.vue'

setLanguage(choose(navigator.languages))
document.documentElement.lang = currentLanguage()
document.title = t('c.title')
createApp(App).mount('#app')
