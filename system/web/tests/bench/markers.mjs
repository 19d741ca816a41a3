/**
 * What ten thousand moving markers cost, and how soon the first view is there: npm run bench:markers -- [seconds]
 *
 * 10,000 vehicles, 1,000 updates every 100 ms. Fails past its limits: script per frame (p95) 2 ms, first view 2 s at four times
 * CPU throttling, heap growth 10 %. Frames per second are printed and not judged: the software renderer and neighbours decide them.
 */
import { loadavg } from 'node:os'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'

import { DevServer } from '../../dev/server.mjs'
import { launch, openPage } from '../browser.mjs'

const SCRIPT_P95_MS = 2
const FIRST_VIEW_MS = 2000
const HEAP_GROWTH = 1.1
const VEHICLES = 10_000

if (!isMainThread) {
  const server = await new DevServer({ vehicles: VEHICLES }).start()
  parentPort.postMessage(server.url)
} else {
  const seconds = Number(process.argv[2] ?? 60)
  const worker = new Worker(new URL(import.meta.url))
  const url = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  const browser = await launch()
  const failures = [...(await markers(browser, url, seconds)), ...(await firstView(browser, url))]
  await browser.close()
  console.log(`load of the machine: ${loadavg().map((each) => each.toFixed(1)).join(', ')}`)
  for (const failure of failures) console.log(`FAILED ${failure}`)
  process.exit(failures.length ? 1 : 0)
}

async function markers(browser, url, seconds) {
  const failures = []
  for (const [name, query, zoom] of [['all drawn', '', 15.5], ['all drawn, redraw on ticks', '?redraw=ticks', 15.5], ['clusters', '', 13.5]]) {
    const { page, close, faults } = await openPage(browser, url, `/${query}`, { token: 'dev-dispatcher', width: 1280, height: 720 })
    await page.waitForFunction((n) => window.drover.vehicles().known >= n, VEHICLES, { timeout: 60_000 })
    await page.evaluate((level) => {
      const at = window.drover.position('VAN-0001')
      window.drover.jump(at.lon, at.lat, level)
    }, zoom)
    await page.waitForTimeout(15_000)
    const session = await page.context().newCDPSession(page)
    await session.send('Performance.enable')
    const metrics = async () => {
      await session.send('HeapProfiler.collectGarbage')
      const { metrics: list } = await session.send('Performance.getMetrics')
      return Object.fromEntries(list.map((each) => [each.name, each.value]))
    }
    const before = await metrics()
    const framesBefore = await page.evaluate(() => window.drover.frames().frames)
    await page.evaluate(() => {
      window.long = []
      new PerformanceObserver((list) => window.long.push(...list.getEntries().map((entry) => entry.duration))).observe({ entryTypes: ['longtask'] })
    })
    const fixes = await page.evaluate(() => window.drover.ids().map((id) => window.drover.position(id).fixTimeMs))
    const run = name === 'all drawn' ? seconds : Math.min(seconds, 15)
    await page.waitForTimeout(run * 1000)
    const frames = await page.evaluate(() => window.drover.frames())
    const long = await page.evaluate(() => window.long)
    const fresh = await page.evaluate((old) => window.drover.ids().filter((id, at) => window.drover.position(id).fixTimeMs > old[at]).length, fixes)
    const after = await metrics()
    const per = (key) => ((after[key] - before[key]) / (after.Timestamp - before.Timestamp)) * 100
    console.log(`${name}: ${((frames.frames - framesBefore) / run).toFixed(1)} redraws/s; script per frame p50 ${frames.p50.toFixed(2)} p95 ${frames.p95.toFixed(2)} max ${frames.max.toFixed(1)} ms; ` +
      `main thread busy ${per('TaskDuration').toFixed(1)} %, script ${per('ScriptDuration').toFixed(1)} %; ${long.length} long tasks, ${Math.round(long.reduce((sum, ms) => sum + ms - 50, 0))} ms beyond 50; ` +
      `heap ${(before.JSHeapUsedSize / 1e6).toFixed(1)} to ${(after.JSHeapUsedSize / 1e6).toFixed(1)} MB; ${fresh} of ${VEHICLES} vehicles have newer fixes`)
    if (frames.p95 >= SCRIPT_P95_MS) failures.push(`${name}: script per frame p95 ${frames.p95.toFixed(2)} ms, at most ${SCRIPT_P95_MS}`)
    if (after.JSHeapUsedSize > before.JSHeapUsedSize * HEAP_GROWTH) failures.push(`${name}: heap grew from ${before.JSHeapUsedSize} to ${after.JSHeapUsedSize}`)
    if (fresh < VEHICLES * 0.95) failures.push(`${name}: only ${fresh} vehicles have newer fixes`)
    if (faults.length) failures.push(faults.join('; '))
    await close()
  }
  return failures
}

/** Until header, list with positions and first map picture are there, with the CPU four times slower and nothing cached. */
async function firstView(browser, url) {
  const failures = []
  for (const [name, path, token, marks] of [
    ['dispatcher, 10,000 vehicles', '/', 'dev-dispatcher', () => document.querySelectorAll('.vehicles .vehicle').length > 5 && document.querySelector('.map-overlay')],
  ]) {
    const times = []
    for (let n = 0; n < 3; n++) {
      const { page, context, close } = await openPage(browser, url, '/sign-in', { width: 1280, height: 720 })
      await page.evaluate((value) => localStorage.setItem('drover.token', value), token)
      const session = await context.newCDPSession(page)
      await session.send('Network.enable')
      await session.send('Network.setCacheDisabled', { cacheDisabled: true })
      await session.send('Emulation.setCPUThrottlingRate', { rate: 4 })
      const start = performance.now()
      await page.goto(path, { waitUntil: 'commit' })
      await page.waitForFunction(marks, null, { timeout: 30_000, polling: 50 })
      const list = performance.now() - start
      await page.waitForFunction(() => document.querySelector('.maplibregl-canvas') && window.drover, null, { timeout: 30_000, polling: 50 })
      const map = performance.now() - start
      const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)
      times.push({ paint, list, map })
      await close()
    }
    const middle = (key) => times.map((each) => each[key]).sort((a, b) => a - b)[1]
    console.log(`first view, ${name}, 4x throttled: first paint ${Math.round(middle('paint'))} ms, list and overlay ${Math.round(middle('list'))} ms, map library ${Math.round(middle('map'))} ms`)
    if (middle('list') >= FIRST_VIEW_MS) failures.push(`first view of ${name}: ${Math.round(middle('list'))} ms, at most ${FIRST_VIEW_MS}`)
  }
  return failures
}
