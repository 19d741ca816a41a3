/**
 * Page tests in a real Chromium, one browser, one after the other: npm run test:pages -- [words of a name]
 *
 * Against a server of its own by default; DROVER_URL points them at another one. Tokens come from its config.json (`demo`), or from
 * DROVER_DISPATCHER and DROVER_DRIVER. Where DROVER_KILL and DROVER_START are shell commands, the test of a lost server uses them.
 */
import { DevServer } from '../../dev/server.mjs'
import { chromiumPath, launch } from '../browser.mjs'
import { outside, own } from './world.mjs'

const SUITES = ['./dispatcher.mjs', './orders.mjs', './driver.mjs', './customer.mjs', './panes.mjs', './audit.mjs', './arrivals.mjs', './faults.mjs', './takeover.mjs', './lost.mjs', './oidc.mjs', './carrier.mjs', './access.mjs']
/** Longest for one test. */
const LIMIT_MS = 90_000

if (!chromiumPath()) {
  if (process.env.CI) throw new Error('no chromium: install it (apt-get install chromium), or name it in CHROMIUM')
  console.log('SKIP: page tests need chromium; install it, or name it in CHROMIUM')
  process.exit(0)
}
const words = process.argv.slice(2)
const world = process.env.DROVER_URL ? await outside(process.env.DROVER_URL) : await own(await new DevServer({ seed: 7, vehicles: 24 }).start())
const browser = await launch()
let failed = 0
let run = 0
let skipped = 0
for (const suite of SUITES) {
  const { tests } = await import(suite)
  for (const [name, test] of Object.entries(tests)) {
    if (words.length && !words.some((word) => name.includes(word))) continue
    const start = Date.now()
    const opened = []
    let timer
    try {
      const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`longer than ${LIMIT_MS / 1000} s`)), LIMIT_MS)))
      const outcome = await Promise.race([test({ browser, world, open: (...rest) => world.open(browser, opened, ...rest) }), late])
      for (const each of opened) if (each.faults.length) throw new Error(`the page said: ${each.faults.join('; ')}`)
      if (typeof outcome === 'string') skipped++
      else run++
      console.log(`${typeof outcome === 'string' ? `SKIP (${outcome})` : 'ok'}   ${name} (${Date.now() - start} ms)`)
    } catch (error) {
      failed++
      console.log(`FAILED ${name} (${Date.now() - start} ms)\n  ${String(error.stack ?? error).split('\n').slice(0, 12).join('\n  ')}`)
      if (process.env.DROVER_SHOTS) for (const [at, each] of opened.entries()) await each.page.screenshot({ path: `${process.env.DROVER_SHOTS}/failed-${run + failed}-${at}.png` }).catch(() => {})
    } finally {
      clearTimeout(timer)
      for (const each of opened) await each.close().catch(() => {})
    }
  }
}
await browser.close()
await world.stop()
console.log(`${run} passed, ${failed} failed, ${skipped} skipped`)
process.exit(failed ? 1 : 0)
