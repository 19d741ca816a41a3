/** The driver's page: stops, routes, messages, and all of that without a link. */
import { check, until } from './world.mjs'

const phone = { width: 390, height: 844, touch: true }

/** A stop where the vehicle is comes first: it is done, if there is one. */
async function doneWithArrived(page) {
  await page.waitForSelector('.next')
  while (await page.locator('.next .acts .danger').count()) {
    const left = await page.locator('.next .badge').first().innerText()
    await page.click('.next .acts .primary:not([aria-disabled])')
    await until(async () => (await page.locator('.next .badge').first().innerText().catch(() => '')) !== left, 'another stop is next')
  }
}

export const tests = {
  async 'a pushed route appears at the driver with what changed'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const order = await world.order(`Route ${Date.now()}`, 3, vehicle)
    const driver = await open('/driver', 'driver', phone)
    await driver.page.waitForSelector('.next h2')
    const { page } = await open('/', 'dispatcher')
    await until(() => page.evaluate((id) => window.drover.orders().some((each) => each.id === id), order.id), 'the order is known')
    await page.evaluate((id) => window.drover.select(id), vehicle)
    await page.click('text=Plan route')
    await page.waitForSelector('.panel .draft')
    const count = await page.locator('.panel .draft').count()
    check(count >= 3, 'open stops are listed')
    await page.locator('.panel .draft button[aria-label^="Move"]').nth(2 * count - 2).click()
    await page.fill('.panel .input', 'Bridge closed')
    await page.click('text=Send route')
    await driver.page.waitForSelector('.news')
    const news = await driver.page.locator('.news').innerText()
    check(news.includes('Bridge closed'), `the reason is said: ${news}`)
    // The vehicle's tracker has it too, and says so itself.
    const tracked = await until(async () => {
      const route = await world.api('dispatcher', 'GET', `/vehicles/${vehicle}/route`)
      return route.reason === 'Bridge closed' && route.states?.applied ? route : null
    }, 'the tracker has applied it')
    check(tracked.states.queued <= tracked.states.applied && tracked.states.delivered <= tracked.states.applied, 'each state has its time')
    check(!tracked.states.expired && !tracked.states.refused, 'nothing else became of it')
    await until(async () => (await page.locator('.panel .tracker').innerText()).includes('vehicle has it'), 'the dispatcher sees that')
    await driver.page.click('.news .button')
    await driver.page.waitForSelector('.news', { state: 'detached' })
    await driver.page.reload()
    await driver.page.waitForSelector('.next h2')
    check((await driver.page.locator('.news').count()) === 0, 'understood is understood, also after a reload')
  },

  async 'stop states are one tap each, also without a link, and keep their times'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const { page, context } = await open('/driver', 'driver', phone)
    await page.waitForSelector('.next .acts')
    const name = await page.locator('.next .muted').first().innerText()
    const orders = (await world.api('driver', 'GET', '/orders?limit=1000')).items.filter((each) => each.vehicle === vehicle && name.includes(each.customer))
    const next = orders.flatMap((each) => each.stops).filter((stop) => stop.state === 'planned' || stop.state === 'arrived')
    check(next.length > 0, 'there is an open stop')
    if (await page.locator('text=I have arrived').count()) await page.click('text=I have arrived')
    await page.waitForSelector('.next .acts .danger')
    await until(async () => (await page.locator('.link-badge').innerText()).includes('All sent'), 'it is sent')
    await context.setOffline(true)
    const left = await page.locator('.next .badge').first().innerText()
    const tapped = Date.now()
    await page.click('.next .acts .primary')
    await until(async () => (await page.locator('.next .badge').first().innerText().catch(() => '')) !== left, 'the next stop is shown at once')
    await until(async () => (await page.locator('.link-badge').innerText()).includes('to be sent'), 'it waits to be sent')
    await page.waitForTimeout(4000)
    const back = Date.now()
    await context.setOffline(false)
    await until(async () => (await page.locator('.link-badge').innerText()).includes('All sent'), 'it is sent when the link is back', 30_000)
    const after = (await world.api('driver', 'GET', '/orders?limit=1000')).items.flatMap((each) => each.stops)
    const done = after.filter((stop) => next.some((each) => each.id === stop.id) && stop.state === 'done')
    check(done.length === 1, 'exactly one stop is done')
    const at = Date.parse(done[0].done)
    check(at >= tapped && at < back - 3000, `at the time of the tap, not of the sending: ${at - tapped} ms after the one, ${back - at} before the other`)
  },

  async 'a double tap on one button is no tap on the next'({ open, world }) {
    await world.order(`Double ${Date.now()}`, 1, await world.driverVehicle())
    const { page } = await open('/driver', 'driver', phone)
    await page.waitForSelector('.next .acts')
    const primary = page.locator('.next .acts .primary')
    // One that has arrived already is done first.
    if (await page.locator('.next .acts .danger').count()) await primary.click()
    await page.waitForSelector('.next .acts .primary:not([aria-disabled]):has-text("I have arrived")')
    // From within the page: the second tap comes as soon as the other button is there, on a slow machine too.
    await page.evaluate(async () => {
      document.querySelector('.next .acts .primary').click()
      while (!document.querySelector('.next .acts .danger')) await new Promise((resolve) => setTimeout(resolve, 5))
      document.querySelector('.next .acts .primary').click()
    })
    await page.waitForTimeout(200)
    check((await page.locator('.next .acts .danger').count()) === 1, 'it has arrived, and is not done')
    const left = await page.locator('.next .badge').first().innerText()
    await primary.click()
    await until(async () => (await page.locator('.next .badge').first().innerText().catch(() => '')) !== left, 'a later tap counts')
  },

  async 'a stop that fails has a reason, which the dispatcher reads'({ open, world }) {
    const vehicle = await world.driverVehicle()
    await world.order(`Fail ${Date.now()}`, 1, vehicle)
    const { page } = await open('/driver', 'driver', phone)
    await page.waitForSelector('.next .acts')
    if (await page.locator('text=I have arrived').count()) await page.click('text=I have arrived')
    await page.click('.next .acts .danger')
    await page.click('text=Nobody there')
    await until(async () => (await world.api('dispatcher', 'GET', '/messages?limit=1000')).items.some((each) => each.vehicle === vehicle && !each.to_vehicle && each.body.includes('Nobody there')), 'the reason arrives')
  },

  async 'a reason does not land on another stop that has come first meanwhile'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const [first, second] = [await world.order(`First ${Date.now()}`, 1, vehicle), await world.order(`Second ${Date.now()}`, 1, vehicle)]
    const push = (...orders) => world.api('dispatcher', 'POST', '/routes', { vehicle, stops: orders.map((order) => order.stops[0].id), reason: '' })
    await push(first, second)
    const { page } = await open('/driver', 'driver', phone)
    await doneWithArrived(page)
    await page.waitForSelector(`.next:has-text("${first.customer}")`)
    await page.click('.next .acts button:has-text("Skip")')
    await page.waitForSelector('.ask')
    await push(second, first)
    await page.waitForSelector(`.next:has-text("${second.customer}")`)
    check((await page.locator('.ask').count()) === 0, 'nobody is asked any more')
    for (const { id } of [first, second]) {
      check((await world.api('dispatcher', 'GET', `/orders/${id}`)).stops[0].state === 'planned', 'both stops are as before')
      await world.api('dispatcher', 'POST', `/orders/${id}/state`, { from: 'assigned', to: 'cancelled' })
    }
  },

  async 'messages are read and answered with one tap'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const body = `Where are you? ${Date.now()}`
    const message = await world.api('dispatcher', 'POST', '/messages', { vehicle, body, expires_s: 3600 })
    const { page } = await open('/driver', 'driver', phone)
    await page.click('.foot button:nth-child(2)')
    await page.waitForSelector(`.bubble:has-text("${body}")`)
    await until(async () => (await world.api('dispatcher', 'GET', '/messages?limit=1000')).items.find((each) => each.id === message.id)?.state === 'read', 'it is read')
    await page.click('.quick .button:nth-child(2)')
    await until(async () => (await world.api('dispatcher', 'GET', '/messages?limit=1000')).items.some((each) => each.vehicle === vehicle && each.body === 'I will be late'), 'the answer arrives')
  },

  async 'a message that comes while nobody looks at the page is not read'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const { page } = await open('/driver', 'driver', phone)
    await page.click('.foot button:nth-child(2)')
    await page.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    const body = `In the dark ${Date.now()}`
    const message = await world.api('dispatcher', 'POST', '/messages', { vehicle, body, expires_s: 3600 })
    const state = async () => (await world.api('dispatcher', 'GET', '/messages?limit=1000')).items.find((each) => each.id === message.id)?.state
    await page.waitForSelector(`.bubble:has-text("${body}")`)
    await until(async () => (await state()) === 'delivered', 'it is on the phone')
    await page.waitForTimeout(500)
    check((await state()) === 'delivered', 'and nobody has read it')
    await page.evaluate(() => {
      delete document.visibilityState
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await until(async () => (await state()) === 'read', 'it is read once somebody looks')
  },

  async 'the page opens without a link'({ open, browser }) {
    const { page, context } = await open('/driver', 'driver', phone)
    const ready = await page.evaluate(async () => {
      if (!('serviceWorker' in navigator)) return false
      await Promise.race([navigator.serviceWorker.ready, new Promise((resolve) => setTimeout(resolve, 10_000))])
      return navigator.serviceWorker.controller !== null || (await navigator.serviceWorker.getRegistration('/driver'))?.active != null
    })
    check(ready, 'the service worker runs')
    await page.waitForSelector('.next')
    const text = await page.locator('.next h2').innerText()
    await page.waitForTimeout(500)
    await context.setOffline(true)
    await page.reload()
    await page.waitForSelector('.next h2')
    await until(async () => (await page.locator('.next h2').innerText()) === text, 'it shows what it knew')
    check(browser.isConnected(), 'the browser lives')
  },

  async 'whoever knows the way sets off without navigating'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const order = await world.order(`By heart ${Date.now()}`, 1, vehicle)
    await world.api('dispatcher', 'POST', '/routes', { vehicle, stops: [order.stops[0].id], reason: '' })
    const { page } = await open('/driver', 'driver', phone)
    await doneWithArrived(page)
    await page.waitForSelector(`.next:has-text("${order.customer}")`)
    await page.click('.next .set-out')
    await page.waitForSelector('.next .set-out', { state: 'detached' })
    check((await page.locator('.next a[href^="geo:"]').count()) === 1, 'who has set off can still navigate')
    await until(async () => (await world.api('dispatcher', 'GET', `/orders/${order.id}`)).state === 'under_way', 'the order is under way')
    await page.click('.next .acts .primary:not([aria-disabled])')
    await page.waitForSelector('.next .acts .danger')
    await doneWithArrived(page)
  },

  async 'the next stop comes first, with a button that navigates'({ open, world }) {
    await world.order(`Nav ${Date.now()}`, 1, await world.driverVehicle())
    const { page } = await open('/driver', 'driver', phone)
    await page.waitForSelector('.next')
    if (!(await page.locator('a[href^="geo:"]').count())) {
      // The vehicle has arrived already: then it is done first.
      await page.click('.next .acts .primary')
    }
    const href = await page.locator('a[href^="geo:"]').getAttribute('href')
    check(/^geo:-?\d+\.\d+,-?\d+\.\d+\?q=/.test(href), `a geo: address, not ${href}`)
    const sizes = await page.locator('.huge, .foot button').evaluateAll((all) => all.map((each) => each.getBoundingClientRect().height))
    check(sizes.every((height) => height >= 48), 'what is tapped is large')
  },
}

