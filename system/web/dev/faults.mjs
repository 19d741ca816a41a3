/** The endpoint of `twin watch` for faults, as the development server plays it: nothing breaks but what it tells. */
const LASTS_S = 8

export class Faults {
  constructor() {
    this.began = Date.now()
    this.faults = [
      { verb: 'kill', target: 'hub/0', at_s: 20, for_s: LASTS_S, cannot: null },
      { verb: 'delay', target: 'vehicle/* -> gateway/0', at_s: 60, for_s: 20, cannot: null },
      { verb: 'kill', target: 'router/0', at_s: 90, for_s: 10, cannot: 'no router runs here: vehicles know the gateways, and those their agents and hubs' },
    ].map((fault, at) => ({ fault: at, ...fault, until: null }))
    this.nodes = ['persistence/0', 'hub/0', 'gateway/0', 'gateway/1', 'db/0'].map((node) => ({ node, killed: false, hung: false }))
  }

  described() {
    const now = Date.now()
    return {
      now_s: (now - this.began) / 1000,
      faults: this.faults.map(({ until, ...fault }) => ({
        ...fault, state: until === null ? 'waiting' : until > now ? 'active' : 'over', left_s: until !== null && until > now ? (until - now) / 1000 : null,
      })),
      nodes: this.nodes.map((node) => ({ ...node, state: node.killed ? 'down' : node.hung ? 'hung' : 'up' })),
    }
  }

  /** { status, body }; null for a path that is not of faults. */
  answer(method, path, token) {
    const [, room, ...rest] = path.split('/')
    if (room !== 'faults' && room !== 'nodes') return null
    if (token !== 'dev-dispatcher') return { status: token ? 403 : 401, body: { detail: 'faults are struck by dispatchers' } }
    if (method === 'GET' && room === 'faults' && rest.length === 0) return { status: 200, body: this.described() }
    const done = room === 'faults' ? this.change(this.faults[rest[0]], rest[1]) : this.deed(this.nodes.find(({ node }) => node === `${rest[0]}/${rest[1]}`), rest[2])
    return done ? { status: 200, body: this.described() } : { status: 409, body: { detail: 'it is so already, or can not be' } }
  }

  change(fault, what) {
    if (!fault || fault.cannot) return false
    fault.until = what === 'strike' ? Date.now() + fault.for_s * 1000 : Date.now()
    return true
  }

  deed(node, what) {
    if (!node) return false
    if (what === 'kill' || what === 'start') node.killed = what === 'kill'
    if (what === 'hang' || what === 'resume') node.hung = what === 'hang'
    return true
  }
}
