/**
 * A small other side for the pages: speaks the session and the HTTP API from a seeded simulation on real streets.
 *
 *     npm run dev:server -- --port 8787 --vehicles 24 --seed 7
 *
 * For development and page tests only: it holds everything in memory and its tokens are no secret.
 */
import { createServer } from 'node:http'
import { argv } from 'node:process'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'

import { WebSocketServer } from 'ws'

import { answer, config, principalOf, shareOpen } from './api.mjs'
import { Faults } from './faults.mjs'
import { serveFile } from './files.mjs'
import { Sessions } from './session.mjs'
import { World } from './world.mjs'

const BODY_MAX = 256 * 1024

/** The server around a world; it can be stopped and started again, as a hub that dies and comes back. */
export class DevServer {
  constructor(options = {}) {
    this.world = new World(options)
    this.world.shareOpen = (link) => shareOpen(this.world, link)
    this.faults = new Faults()
    this.streets = gzipSync(this.world.roads.bytes)
  }

  async start(port = 0) {
    this.http = createServer((request, response) => void this.handle(request, response))
    this.sessions = new Sessions(this.world, (token) => principalOf(this.world, token))
    const sockets = new WebSocketServer({
      server: this.http, path: '/live-map', maxPayload: 16 * 1024,
      handleProtocols: (offered) => ['drover.bin', 'drover.json'].find((name) => offered.has(name)) ?? false,
    })
    sockets.on('connection', (socket, request) => this.sessions.accept(socket, bearer(request)))
    await new Promise((resolve, reject) => this.http.once('error', reject).listen(port, '127.0.0.1', resolve))
    this.port = this.http.address().port
    this.world.start()
    return this
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Dies: sockets are cut, sessions forgotten. The world stays for the next start. */
  async stop() {
    this.world.stop()
    this.sessions.close()
    this.http.closeAllConnections()
    await new Promise((resolve) => this.http.close(resolve))
  }

  async handle(request, response) {
    const url = new URL(request.url, 'http://localhost')
    const json = (status, body, type = 'application/json') => {
      response.writeHead(status, { 'content-type': status >= 400 ? 'application/problem+json' : type, 'cache-control': 'no-store' })
      response.end(body === undefined ? '' : JSON.stringify(body))
    }
    if (url.pathname === '/api/v1/config.json' || url.pathname === '/config.json') return json(200, { ...config(this.world), faults: this.url })
    if (url.pathname === '/streets.geojson' || url.pathname === '/api/v1/streets.geojson') {
      response.writeHead(200, { 'content-type': 'application/geo+json', 'content-encoding': 'gzip', 'cache-control': 'public, max-age=3600' })
      return response.end(this.streets)
    }
    const faults = this.faults.answer(request.method, url.pathname, bearer(request))
    if (faults) return json(faults.status, faults.body)
    if (!url.pathname.startsWith('/api/')) return serveFile(request, response, url.pathname, this.world.provider ? new URL(this.world.provider.issuer).origin : '')
    const chunks = []
    let bytes = 0
    for await (const chunk of request) {
      bytes += chunk.length
      if (bytes > BODY_MAX) return json(413, { title: 'Too large', status: 413, detail: `bodies of at most ${BODY_MAX} bytes` })
      chunks.push(chunk)
    }
    let body = {}
    try {
      if (bytes) body = JSON.parse(Buffer.concat(chunks))
    } catch {
      return json(400, { title: 'Not JSON', status: 400, detail: 'the body is not JSON' })
    }
    const reply = await answer(this.world, {
      method: request.method, path: url.pathname, query: url.searchParams, token: bearer(request), body, headers: request.headers,
      key: request.headers['idempotency-key'],
    })
    return json(reply.status, reply.body)
  }
}

function bearer(request) {
  return /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null
}

function option(name, fallback) {
  const at = argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(argv[at + 1])
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) {
  const server = await new DevServer({ vehicles: option('vehicles', 24), seed: option('seed', 7) }).start(option('port', 8787))
  console.log(`${server.url}/sign-in (tokens: dev-dispatcher, dev-driver:VAN-0001, dev-viewer)`)
}
