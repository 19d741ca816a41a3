/** Light or dark: as the system says, or as the reader chose. */
import { ref } from 'vue'

import type { ThemeName } from '../map/theme'

export type Choice = 'auto' | ThemeName
const KEY = 'drover.theme'
const system = matchMedia('(prefers-color-scheme: dark)')

export const choice = ref<Choice>(stored())
export const theme = ref<ThemeName>('light')

function stored(): Choice {
  try {
    const value = localStorage.getItem(KEY)
    return value === 'light' || value === 'dark' ? value : 'auto'
  } catch {
    return 'auto'
  }
}

function apply(): void {
  theme.value = choice.value === 'auto' ? (system.matches ? 'dark' : 'light') : choice.value
  document.documentElement.dataset['theme'] = theme.value
}

export function setChoice(next: Choice): void {
  choice.value = next
  try {
    localStorage.setItem(KEY, next)
  } catch {
    // A browser that stores nothing forgets it: no harm.
  }
  apply()
}

export function nextChoice(): void {
  setChoice(choice.value === 'auto' ? 'light' : choice.value === 'light' ? 'dark' : 'auto')
}

system.addEventListener('change', apply)
apply()
