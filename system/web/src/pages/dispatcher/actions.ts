/** What a dispatcher does to orders and routes, with what follows on the page. */
import { ref } from 'vue'

import { metersBetween } from '../../core/mercator'
import { ORDER_STEPS, stopsToReopen } from '../../core/status'
import { t } from '../../core/text'
import type { LonLat, Order, OrderState } from '../../core/types'
import { attempt, fleet, now, orders, putOrder, say, sayDone, theApi, vehicles } from './state'

/** Order that waits for a vehicle in the dialog. */
export const assigning = ref<string | null>(null)

export async function move(order: Order, to: OrderState): Promise<void> {
  if (order.state === to) return
  if (to === 'assigned') {
    assigning.value = order.id
    return
  }
  if (!ORDER_STEPS[order.state].includes(to)) {
    say(t('err.what', { what: order.customer, detail: `${t(`o.${order.state}`)} → ${t(`o.${to}`)}?` }), true)
    return
  }
  const changed = await attempt(t('o.details'), () => (to === 'planned' ? planAgain(order) : theApi().orderState(order.id, order.state, to)))
  if (changed) {
    putOrder(changed)
    say(t('o.moved', { customer: order.customer, state: t(`o.${to}`) }))
  }
}

/** Takes an order back to the first column, with the stops that did not work out. */
async function planAgain(order: Order): Promise<Order> {
  for (const stop of stopsToReopen(order)) await theApi().stopState(stop.id, stop.state, 'planned', order.id)
  return theApi().orderState(order.id, order.state, 'planned')
}

/** Gives an order to a vehicle; one that another has is taken back first. */
export async function assign(orderId: string, vehicle: string): Promise<void> {
  const order = orders.value.get(orderId)
  if (!order || order.vehicle === vehicle) return
  const changed = await attempt(t('o.assign'), async () => {
    let from = order.state
    if (from === 'assigned' || from === 'failed') {
      putOrder(await planAgain(order))
      from = 'planned'
    }
    return theApi().orderState(order.id, from, 'assigned', vehicle)
  })
  if (changed) {
    putOrder(changed)
    sayDone(t('o.moved', { customer: order.customer, state: `${t('o.assigned')}, ${vehicle}` }), () => void takeBack(order, vehicle))
  }
}

/** Takes an order back that was given to `vehicle` a moment ago: whoever had it before has it again. Not if it has gone on since. */
async function takeBack(before: Order, vehicle: string): Promise<void> {
  const order = orders.value.get(before.id)
  if (!order) return
  if (order.state !== 'assigned' || order.vehicle !== vehicle) say(t('err.conflict', { state: t(`o.${order.state}`) }), true)
  else if (before.state === 'assigned' && before.vehicle) await assign(order.id, before.vehicle)
  else await move(order, 'planned')
}

/** Vehicles for an order, the nearest to its first stop first; silent ones last. */
export function candidates(order: Order, search: string): { id: string; meters: number; silent: boolean }[] {
  const first = order.stops[0]?.position
  const wanted = search.trim().toLowerCase()
  const list: { id: string; meters: number; silent: boolean }[] = []
  for (let at = 0; at < fleet.count; at++) {
    const id = fleet.ids[at]!
    if (wanted && !`${id} ${vehicles.value.get(id)?.label ?? ''}`.toLowerCase().includes(wanted)) continue
    const [lon, lat] = fleet.position(at)
    list.push({ id, meters: first ? metersBetween(lon, lat, first.lon, first.lat) : 0, silent: fleet.statusAt(at, now.value) === 'silent' })
  }
  return list.sort((a, b) => Number(a.silent) - Number(b.silent) || a.meters - b.meters).slice(0, 30)
}

/** A vehicle's position, then the stops in order: what a route looks like without roads. */
export function sketch(vehicle: string, stops: { position: { lon: number; lat: number } }[]): LonLat[] {
  const at = fleet.indexOf(vehicle)
  return [...(at >= 0 ? [fleet.position(at)] : []), ...stops.map(({ position }): LonLat => [position.lon, position.lat])]
}
