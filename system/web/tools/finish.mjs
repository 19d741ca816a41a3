/**
 * What follows `vite build`: tells the service worker its files, gathers licences, compresses, and writes the table that the
 * Rust crate includes. The same sources give the same bytes.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = process.env.DROVER_DIST ?? join(ROOT, 'dist')
/** Smaller files gain nothing. */
const COMPRESS_FROM_BYTES = 512
const MIME = {
  html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', mjs: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml', txt: 'text/plain; charset=utf-8', webmanifest: 'application/manifest+json',
}

function files(folder = DIST) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort()
}

/** Every file that a page needs, by the manifest: also what it loads later. */
function needed(manifest, page) {
  const found = new Set()
  const visit = (key) => {
    const chunk = manifest[key]
    if (!chunk || found.has(chunk.file)) return
    if (chunk.file !== undefined) found.add(chunk.file)
    for (const css of chunk.css ?? []) found.add(css)
    for (const asset of chunk.assets ?? []) found.add(asset)
    for (const next of [...(chunk.imports ?? []), ...(chunk.dynamicImports ?? [])]) visit(next)
  }
  visit(page)
  return [...found].filter((file) => file.startsWith('assets/')).sort().map((file) => `/${file}`)
}

/** The map library is asked for with the page, though it runs only after the list is painted. */
function preload(manifest) {
  const page = join(DIST, 'index.html')
  const { file } = manifest['node_modules/maplibre-gl/dist/maplibre-gl.mjs']
  const css = [manifest['node_modules/maplibre-gl/dist/maplibre-gl.css'].file]
  const links = [`<link rel="modulepreload" crossorigin href="/${file}">`, ...css.map((each) => `<link rel="preload" as="style" crossorigin href="/${each}">`)]
  writeFileSync(page, readFileSync(page, 'utf8').replace('</head>', `  ${links.join('\n    ')}\n  </head>`))
}

function serviceWorker(manifest) {
  const shell = needed(manifest, 'driver.html')
  shell.push('/favicon.svg', '/driver.webmanifest')
  const html = readFileSync(join(DIST, 'driver.html'))
  const version = createHash('sha256').update(shell.join()).update(html).digest('hex').slice(0, 12)
  const worker = join(DIST, 'sw.js')
  writeFileSync(worker, `self.SHELL = ${JSON.stringify({ version, files: shell })};\n${readFileSync(worker, 'utf8')}`)
  rmSync(join(DIST, '.vite'), { recursive: true })
}

/** Packages of which parts are in the bundle: Vue's own for the browser, and MapLibre with all that it was built from. */
function bundled(lock) {
  const found = new Set(['vue', '@vue/runtime-dom', '@vue/runtime-core', '@vue/reactivity', '@vue/shared'])
  const visit = (name) => {
    if (found.has(name)) return
    found.add(name)
    for (const next of Object.keys(lock[`node_modules/${name}`]?.dependencies ?? {})) visit(next)
  }
  visit('maplibre-gl')
  return [...found].sort()
}

/** MIT and BSD ask for their text beside every copy. */
function licences() {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'))).packages
  const parts = bundled(lock).map((name) => {
    const folder = join(ROOT, 'node_modules', name)
    const entry = lock[`node_modules/${name}`]
    const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each))
    const text = file ? readFileSync(join(folder, file), 'utf8').trim() : 'The package brings no text of its licence.'
    return `${name} ${entry.version} (${entry.license ?? 'see below'})\n\n${text.replaceAll('\r\n', '\n')}\n`
  })
  const line = '-'.repeat(80)
  writeFileSync(join(DIST, 'licences.txt'), `Packages in these pages, and their licences.\n${line}\n${parts.join(`${line}\n`)}`)
}

function compress() {
  for (const path of files()) {
    const bytes = readFileSync(path)
    if (bytes.length < COMPRESS_FROM_BYTES) continue
    writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }))
    const gz = gzipSync(bytes, { level: 9 })
    // The operating system's number stands in the header: always "unknown".
    gz[9] = 255
    writeFileSync(`${path}.gz`, gz)
  }
}

function table() {
  const plain = files().filter((path) => !/\.(br|gz)$/.test(path))
  const rows = plain.map((path) => {
    const name = relative(DIST, path)
    const etag = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16)
    const variant = (ending) => (existsSync(path + ending) ? `Some(include_bytes!("../dist/${name}${ending}"))` : 'None')
    return `    Entry {
        name: "${name}",
        identity: include_bytes!("../dist/${name}"),
        brotli: ${variant('.br')},
        gzip: ${variant('.gz')},
        mime: "${MIME[name.split('.').at(-1)]}",
        etag: "\\"${etag}\\"",
    },`
  })
  writeFileSync(
    process.env.DROVER_DIST ? `${DIST}.table.rs` : join(ROOT, 'src-rs/table.rs'),
    `// Written by tools/finish.mjs with every build of the pages; by name.\nuse super::Entry;\n\npub(crate) const ENTRIES: &[Entry] = &[\n${rows.join('\n')}\n];\n`,
  )
}

const manifest = JSON.parse(readFileSync(join(DIST, '.vite/manifest.json')))
preload(manifest)
serviceWorker(manifest)
licences()
compress()
table()
const sum = (pattern) => files().filter((path) => pattern.test(path)).reduce((total, path) => total + statSync(path).size, 0)
console.log(`dist: ${Math.round(sum(/(?<!\.br|\.gz)$/) / 1000)} kB, brotli ${Math.round(sum(/\.br$/) / 1000)} kB, gzip ${Math.round(sum(/\.gz$/) / 1000)} kB`)
