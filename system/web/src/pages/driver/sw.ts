/**
 * Keeps the driver's page so that it opens without a link. `SHELL` is set by the build: every file that the page loads, under
 * names that hold their content's hash. What is in the page (stops, messages) the page keeps itself, in IndexedDB.
 */
/* The build writes "self.SHELL = {...}" above this. */
interface Worker extends EventTarget {
  SHELL: { version: string; files: string[] }
  skipWaiting(): Promise<void>
  clients: { claim(): Promise<void> }
}
type Waiting = Event & { waitUntil(work: Promise<unknown>): void }
type Fetching = Waiting & { request: Request; respondWith(answer: Promise<Response>): void }

const worker = self as unknown as Worker
const PAGE = '/driver'
const CACHE = `drover-driver-${worker.SHELL.version}`
/** A page that does not come in this time comes out of the cache. */
const PATIENCE_MS = 2500

worker.addEventListener('install', (event) => {
  ;(event as Waiting).waitUntil(caches.open(CACHE).then((cache) => cache.addAll([PAGE, ...worker.SHELL.files])).then(() => worker.skipWaiting()))
})

worker.addEventListener('activate', (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name.startsWith('drover-driver-') && name !== CACHE).map((name) => caches.delete(name))))
  ;(event as Waiting).waitUntil(old.then(() => worker.clients.claim()))
})

worker.addEventListener('fetch', (event) => {
  const { request } = event as Fetching
  const url = new URL(request.url)
  if (request.method !== 'GET' || url.origin !== location.origin || url.pathname.startsWith('/api/')) return
  if (request.mode === 'navigate') (event as Fetching).respondWith(page(request))
  else if (url.pathname.startsWith('/assets/')) (event as Fetching).respondWith(kept(request))
  else if (url.pathname === '/streets.geojson') (event as Fetching).respondWith(keptThenFresh(request))
})

async function page(request: Request): Promise<Response> {
  const cached = await caches.match(PAGE)
  if (!cached) return fetch(request)
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(cached.clone()), PATIENCE_MS))
  return Promise.race([fetch(request).then((fresh) => (fresh.ok ? fresh : cached)).catch(() => cached), late])
}

async function kept(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request)
}

async function keptThenFresh(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE)
  const cached = await cache.match(request)
  const fresh = fetch(request).then(async (answer) => {
    if (answer.ok) await cache.put(request, answer.clone())
    return answer
  })
  if (!cached) return fresh
  fresh.catch(() => undefined)
  return cached
}
