/** A small identity provider for the tests: discovery, the authorization code flow with PKCE, tokens by ES256. Everybody is Dana. */
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

export class Provider {
  constructor(clientId) {
    this.client_id = clientId
    this.scope = 'openid'
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.key = privateKey
    this.jwk = publicKey.export({ format: 'jwk' })
    this.codes = new Map()
    /** What it does wrong, if anything: error, nonce, denied. */
    this.wrong = null
    this.asked = []
  }

  async start() {
    this.http = createServer((request, response) => void this.handle(request, response))
    await new Promise((resolve) => this.http.listen(0, '127.0.0.1', resolve))
    this.issuer = `http://127.0.0.1:${this.http.address().port}/fleet`
    return this
  }

  stop() {
    this.http.closeAllConnections()
    return new Promise((resolve) => this.http.close(resolve))
  }

  token(claims) {
    const now = Math.floor(Date.now() / 1000)
    const text = `${base64url({ alg: 'ES256', typ: 'JWT' })}.${base64url({ iss: this.issuer, sub: 'dana', iat: now, exp: now + 600, ...claims })}`
    return `${text}.${sign('sha256', Buffer.from(text), { key: this.key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }

  async handle(request, response) {
    const url = new URL(request.url, this.issuer)
    const json = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json', 'access-control-allow-origin': '*' })
      response.end(JSON.stringify(body))
    }
    if (url.pathname === '/fleet/.well-known/openid-configuration') {
      return json(200, { issuer: this.issuer, authorization_endpoint: `${this.issuer}/authorize`, token_endpoint: `${this.issuer}/token`, code_challenge_methods_supported: ['S256'] })
    }
    if (url.pathname === '/fleet/authorize') return this.authorize(url.searchParams, response)
    if (url.pathname !== '/fleet/token' || request.method !== 'POST') return json(404, {})
    let body = ''
    for await (const chunk of request) body += chunk
    const form = new URLSearchParams(body)
    this.asked.push(form)
    const code = this.codes.get(form.get('code'))
    this.codes.delete(form.get('code'))
    const proof = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url')
    if (!code || code.redirect_uri !== form.get('redirect_uri') || form.get('client_id') !== this.client_id || proof !== code.code_challenge || form.has('client_secret')) {
      return json(400, { error: 'invalid_grant', error_description: 'the code is not yours' })
    }
    const nonce = this.wrong === 'nonce' ? 'another' : code.nonce
    return json(200, {
      token_type: 'Bearer', expires_in: 600, id_token: this.token({ aud: this.client_id, nonce }), access_token: this.token({ aud: 'drover', tenant: 'dev', role: 'dispatcher' }),
    })
  }

  /** Nobody is asked for a password: the browser is sent back at once. */
  authorize(query, response) {
    const back = new URL(query.get('redirect_uri'))
    const asked = Object.fromEntries(query)
    if (asked.response_type !== 'code' || asked.code_challenge_method !== 'S256' || !asked.code_challenge || asked.client_id !== this.client_id) {
      response.writeHead(400).end('not a request of ours')
      return
    }
    if (this.wrong === 'denied') {
      back.searchParams.set('error', 'access_denied')
      back.searchParams.set('error_description', 'Dana has changed her mind')
    } else {
      const code = randomUUID()
      this.codes.set(code, asked)
      back.searchParams.set('code', code)
    }
    back.searchParams.set('state', this.wrong === 'state' ? 'another' : asked.state)
    back.searchParams.set('iss', this.issuer)
    response.writeHead(302, { location: back.href }).end()
  }
}
