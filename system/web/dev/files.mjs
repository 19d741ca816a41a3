/** The built pages, as the hub serves them: same paths, same policy. */
import { existsSync, readFileSync } from 'node:fs'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const DIST = fileURLToPath(new URL('../dist/', import.meta.url))
const MIME = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.txt': 'text/plain; charset=utf-8', '.webmanifest': 'application/manifest+json',
}
export const CSP = [
  "default-src 'none'", "script-src 'self'", "worker-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:",
  "connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
].join('; ')

/** Which file a path means; null for none. */
export function fileOf(path) {
  if (path === '/') return 'index.html'
  if (path === '/driver' || path.startsWith('/driver/')) return 'driver.html'
  if (path.startsWith('/d/')) return 'customer.html'
  if (path === '/sign-in') return 'sign-in.html'
  if (['/sw.js', '/favicon.svg', '/driver.webmanifest', '/licences.txt'].includes(path) || path.startsWith('/assets/')) return normalize(path).slice(1)
  return null
}

/** `connect` is another origin that pages may connect to. */
export function serveFile(request, response, path, connect = '') {
  const name = fileOf(path)
  const file = name && join(DIST, name)
  if (!file || !file.startsWith(DIST) || !existsSync(file)) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
    return
  }
  const headers = {
    'content-type': MIME[extname(file)] ?? 'application/octet-stream', 'content-security-policy': CSP.replace("connect-src 'self'", `connect-src 'self' ${connect}`.trim()), 'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer', 'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
  }
  const accepts = request.headers['accept-encoding'] ?? ''
  for (const [encoding, ending] of [['br', '.br'], ['gzip', '.gz']]) {
    if (accepts.includes(encoding) && existsSync(file + ending)) {
      response.writeHead(200, { ...headers, 'content-encoding': encoding, vary: 'accept-encoding' }).end(readFileSync(file + ending))
      return
    }
  }
  response.writeHead(200, headers).end(readFileSync(file))
}
