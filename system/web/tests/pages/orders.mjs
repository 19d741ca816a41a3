/** Orders, messages, share links and routes as a dispatcher makes them. */
import { check, until } from './world.mjs'

const board = async (page) => {
  await page.keyboard.press('o')
  await page.waitForSelector('.board')
}
const orderOf = (page, customer) => page.locator('.card', { hasText: customer }).first()

export const tests = {
  async 'an order is made by clicking on the map'({ open, world }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await page.waitForTimeout(400)
    await page.keyboard.press('n')
    const customer = `Click ${Date.now()}`
    await page.fill('.panel-body .input', customer)
    const box = await page.locator('.map').boundingBox()
    await page.mouse.click(box.x + 250, box.y + 300)
    await page.mouse.click(box.x + 300, box.y + 400)
    await until(async () => (await page.locator('.draft').count()) === 2, 'two stops')
    await page.click('text=Create order')
    await page.waitForSelector('.panel .timeline')
    const made = await until(async () => (await world.api('dispatcher', 'GET', '/orders?limit=1000')).items.find((each) => each.customer === customer), 'the server has it')
    check(made.stops.length === 2 && made.stops.every((stop) => stop.due_from && stop.due_until), 'with two stops and windows')
    await board(page)
    check((await page.locator('[data-column="planned"]').innerText()).includes(customer), 'it is on the board')
  },

  async 'an order is given to a vehicle with the keyboard'({ open, world }) {
    const customer = `Keys ${Date.now()}`
    const order = await world.order(customer, 1)
    const { page } = await open('/', 'dispatcher')
    await board(page)
    await orderOf(page, customer).focus()
    await page.keyboard.press('a')
    await page.waitForSelector('dialog[open] .assign-list .vehicle')
    const vehicle = await page.locator('dialog[open] .assign-list .vehicle strong').first().innerText()
    await page.keyboard.press('Enter')
    await until(async () => (await world.api('dispatcher', 'GET', `/orders/${order.id}`)).vehicle === vehicle, `${vehicle} has it`)
    await until(async () => (await page.locator('[data-column="planned"]').innerText()).includes(customer) === false, 'it left the first column')
  },

  async 'an order is given to a vehicle by dragging, and taken back'({ open, world }) {
    const customer = `Drag ${Date.now()}`
    const order = await world.order(customer, 1)
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await board(page)
    await orderOf(page, customer).waitFor()
    await page.waitForTimeout(800)
    const spot = await until(() => page.evaluate(() => {
      const box = document.querySelector('.map').getBoundingClientRect()
      for (const id of window.drover.ids()) {
        const at = window.drover.screen(id)
        if (at && !at.hidden && window.drover.position(id).status !== 'moving' && at.x > 20 && at.y > 60 && at.x < box.width - 70 && at.y < box.height - 120) return { id, x: at.x, y: at.y }
      }
      return null
    }), 'a resting vehicle in the open', 40_000)
    await orderOf(page, customer).dragTo(page.locator('.map'), { targetPosition: { x: spot.x, y: spot.y } })
    const given = await until(async () => {
      const now = await world.api('dispatcher', 'GET', `/orders/${order.id}`)
      return now.vehicle
    }, 'a vehicle has it')
    check(typeof given === 'string', 'it is assigned')
  },

  async 'what was given to a vehicle by mistake is taken back at once'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const customer = `Mistake ${Date.now()}`
    const order = await world.order(customer, 1)
    const { page } = await open('/', 'dispatcher')
    await board(page)
    await orderOf(page, customer).focus()
    await page.keyboard.press('a')
    // Its driver has a page, and sets out when they say so.
    await page.fill('dialog[open] input', vehicle)
    await until(async () => (await page.locator('dialog[open] .assign-list .vehicle strong').first().innerText()) === vehicle, 'the vehicle is found')
    await page.keyboard.press('Enter')
    await page.click('.toast button:has-text("Undo")')
    const now = await until(async () => {
      const each = await world.api('dispatcher', 'GET', `/orders/${order.id}`)
      return each.state === 'planned' && each
    }, 'it is planned again')
    check(now.vehicle === null, 'nobody has it')
    await until(async () => (await page.locator('[data-column="planned"]').innerText()).includes(customer), 'it is back in the first column')
  },

  async 'an order that is dropped beside every vehicle says so'({ open, world }) {
    const customer = `Beside ${Date.now()}`
    const order = await world.order(customer, 1)
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await board(page)
    await orderOf(page, customer).waitFor()
    await page.waitForTimeout(800)
    const spot = await page.evaluate(() => {
      const box = document.querySelector('.map').getBoundingClientRect()
      const drawn = window.drover.ids().map((id) => window.drover.screen(id)).filter((at) => at)
      const free = []
      for (let x = 60; x < box.width - 80; x += 40) for (let y = 80; y < box.height - 140; y += 40) free.push({ x, y, far: Math.min(...drawn.map((at) => Math.hypot(at.x - x, at.y - y))) })
      return free.reduce((a, b) => (b.far > a.far ? b : a))
    })
    await orderOf(page, customer).dragTo(page.locator('.map'), { targetPosition: { x: spot.x, y: spot.y } })
    await page.waitForSelector('.toast.bad:has-text("No vehicle is there")')
    check((await page.locator('.tip').count()) === 0, 'nothing is offered any more')
    check((await world.api('dispatcher', 'GET', `/orders/${order.id}`)).state === 'planned', 'nobody has it')
  },

  async 'the board is searched'({ open, world }) {
    const names = [`Needle ${Date.now()}`, `Hay ${Date.now()}`]
    for (const name of names) await world.order(name, 1)
    const { page } = await open('/', 'dispatcher')
    await board(page)
    for (const name of names) await orderOf(page, name).waitFor()
    await page.fill('.side .search .input', names[0].toLowerCase())
    await orderOf(page, names[1]).waitFor({ state: 'detached' })
    check((await page.locator('.board .card').count()) === 1, 'what is looked for is there, and nothing else')
  },

  async 'the board follows what others do'({ open, world }) {
    const { page } = await open('/', 'dispatcher')
    await board(page)
    const customer = `Event ${Date.now()}`
    await world.order(customer, 2)
    await until(async () => (await page.locator('[data-column="planned"]').innerText()).includes(customer), 'it appears by itself')
  },

  async 'a message goes out and its state is seen'({ open, world }) {
    const { page } = await open('/', 'dispatcher')
    const vehicle = await world.driverVehicle()
    await page.keyboard.press('m')
    await page.selectOption('.side select', vehicle)
    const body = `Hello ${Date.now()}`
    await page.fill('.compose .input', body)
    await page.keyboard.press('Enter')
    await page.waitForSelector(`.bubble:has-text("${body}")`)
    const found = await until(async () => (await world.api('driver', 'GET', '/messages?limit=1000')).items.find((each) => each.body === body), 'the driver can fetch it')
    await until(async () => (await page.locator(`.bubble:has-text("${body}") .tracker`).innerText()).includes('vehicle has it'), 'the tracker has it')
    if (found.state === 'queued') await world.api('driver', 'POST', `/messages/${found.id}/state`, { from: 'queued', to: 'delivered' })
    await world.api('driver', 'POST', `/messages/${found.id}/state`, { from: 'delivered', to: 'read' })
    await until(async () => (await page.locator(`.bubble:has-text("${body}")`).innerText()).includes('Read'), 'it is said to be read')
  },

  async 'a link that could not be revoked is not said to be'({ open, world }) {
    const customer = `Revoke ${Date.now()}`
    await world.order(customer, 1)
    const { page } = await open('/', 'dispatcher')
    await board(page)
    await orderOf(page, customer).click()
    await page.click('text=Create share link')
    await page.waitForSelector('.panel ul button.danger')
    await page.route('**/share-links/*', (route) => route.fulfill({ status: 503, contentType: 'application/json', body: '{"detail":"busy"}' }))
    await page.click('.panel ul button.danger')
    await page.waitForSelector('.toast.bad')
    check(!(await page.locator('.toast').innerText()).includes('Link revoked'), 'the failure is said')
    check((await page.locator('.panel ul button.danger').count()) === 1, 'the link is still there')
    await page.unroute('**/share-links/*')
    await page.click('.panel ul button.danger')
    await page.waitForSelector('.toast:not(.bad)')
    await page.waitForSelector('.panel ul button.danger', { state: 'detached' })
  },

  async 'a viewer sees the map and can change nothing'({ open }) {
    const { page } = await open('/', 'viewer')
    await board(page)
    check((await page.locator('text=New order').count()) === 0, 'no new orders')
    check((await page.locator('.card-assign').count()) === 0, 'nothing to assign')
  },
}
