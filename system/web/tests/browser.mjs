/** Chromium for the page tests: Debian's, or the one that CHROMIUM names. One at a time. */
import { existsSync } from 'node:fs'

import { chromium } from 'playwright-core'

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].filter(Boolean)

export function chromiumPath() {
  return PLACES.find((path) => existsSync(path)) ?? null
}

export async function launch() {
  return chromium.launch({
    executablePath: chromiumPath(), headless: true,
    // The software renderer everywhere, so that a machine with a graphics card gives the same pictures.
    args: [
      '--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic',
      '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--enable-precise-memory-info',
    ],
  })
}

/** A page that is signed in with `token`, and fails a test that made it ask another host (but for `others`) or break its policy. */
export async function openPage(browser, base, path, { token = null, width = 1440, height = 900, theme = 'light', locale = 'en-GB', touch = false, ready = true, others = [] } = {}) {
  const context = await browser.newContext({
    baseURL: base, viewport: { width, height }, colorScheme: theme, locale, hasTouch: touch, timezoneId: 'Europe/Helsinki', reducedMotion: 'no-preference',
  })
  const page = await context.newPage()
  const faults = []
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection|ERR_CONNECTION|Failed to establish a connection|WebTransport/.test(message.text())) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(base) && !others.some((other) => url.startsWith(`${other}/`)) && !/^(blob|data):/.test(url)) faults.push(`a request to another host: ${url}`)
  })
  if (token) await context.addInitScript((value) => localStorage.setItem('drover.token', value), token)
  await page.goto(path)
  if (ready && token) {
    if (path.startsWith('/driver')) await page.waitForSelector('.driver')
    else await page.waitForFunction(() => (window.drover?.vehicles().known ?? 0) > 0, null, { timeout: 20_000 })
  }
  return { page, context, faults, close: () => context.close() }
}
