/** Texts in the reader's language. Pure but for the one chosen language, which a page sets when it starts. */
import { de } from './de'
import { en, type Dictionary, type Key } from './en'
import { ageText } from './status'

export type { Key }
const LANGUAGES: Record<string, Dictionary> = { en, de }
let language = 'en'

/** The first language of `wanted` (as in `navigator.languages`) that we speak; English else. */
export function choose(wanted: readonly string[]): string {
  for (const tag of wanted) {
    const short = tag.toLowerCase().split('-')[0]!
    if (short in LANGUAGES) return short
  }
  return 'en'
}

export function setLanguage(code: string): void {
  language = code in LANGUAGES ? code : 'en'
}

export function currentLanguage(): string {
  return language
}

/** The text of `key`, with `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return LANGUAGES[language]![key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** "12 s ago". */
export function age(ms: number): string {
  const { key, n } = ageText(ms)
  return t(key, { n })
}

/** "14:05", in the reader's own zone. */
export function clock(time: string | number | null | undefined): string {
  if (time === null || time === undefined) return ''
  return new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, { hour: '2-digit', minute: '2-digit' }).format(new Date(time))
}

/** "14:05:09", in the reader's own zone. */
export function clockSeconds(time: string): string {
  return new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(new Date(time))
}

/** "Monday, 30 November", in the reader's own zone. */
export function localDay(time: string): string {
  return new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, { weekday: 'long', day: 'numeric', month: 'long' }).format(new Date(time))
}

/** "Mon 30 Nov", in UTC, as the server counts days. */
export function dayName(ms: number): string {
  const words = { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' } as const
  return new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, words).format(new Date(ms))
}

/** "1 h 05 min", "12 min", "40 s". */
export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (seconds < 60) return `${Math.round(seconds)} s`
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** "14:05 – 14:35", or that any time will do. */
export function timeWindow(from: string | null | undefined, until: string | null | undefined): string {
  if (from && until) return `${clock(from)} – ${clock(until)}`
  if (until) return `– ${clock(until)}`
  if (from) return `${clock(from)} –`
  return t('o.nowindow')
}

export function decimal(value: number, digits = 1): string {
  return new Intl.NumberFormat(language === 'en' ? 'en-GB' : language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value)
}

const COMPASS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW']
const COMPASS_DE = ['N', 'NO', 'O', 'SO', 'S', 'SW', 'W', 'NW']

/** "NE": the nearest of eight directions. */
export function compass(degrees: number): string {
  return (language === 'de' ? COMPASS_DE : COMPASS)[Math.round(degrees / 45) % 8]!
}
