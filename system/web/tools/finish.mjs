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

function serviceWorker() {
  const path = join(DIST, '.vite/manifest.json')
  const shell = needed(JSON.parse(readFileSync(path)), 'driver.html')
  shell.push('/favicon.svg', '/driver.webmanifest')
  const html = readFileSync(join(DIST, 'driver.html'))
  const version = createHash('sha256').update(shell.join()).update(html).digest('hex').slice(0, 12)
  const worker = join(DIST, 'sw.js')
  writeFileSync(worker, `self.SHELL = ${JSON.stringify({ version, files: shell })};\n${readFileSync(worker, 'utf8')}`)
  rmSync(join(DIST, '.vite'), { recursive: true })
}

/** MIT and BSD ask for their text beside every copy. */
function licences() {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'))).packages
  const parts = []
  for (const [path, entry] of Object.entries(lock).sort()) {
    if (!path || entry.dev || entry.optional || entry.peer) continue
    const folder = join(ROOT, path)
    if (!existsSync(folder)) continue
    const name = readdirSync(folder).find((file) => /^(licen[cs]e|copying)/i.test(file))
    const text = name ? readFileSync(join(folder, name), 'utf8').trim() : `${entry.license ?? 'see the package'} (the package brings no text)`
    parts.push(`${path.replace(/^.*node_modules\//, '')} ${entry.version} (${entry.license ?? 'see below'})\n\n${text.replaceAll('\r\n', '\n')}\n`)
  }
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
    join(ROOT, 'src-rs/table.rs'),
    `// Written by tools/finish.mjs with every build of the pages; by name.\nuse super::Entry;\n\npub(crate) const ENTRIES: &[Entry] = &[\n${rows.join('\n')}\n];\n`,
  )
}

serviceWorker()
licences()
compress()
if (!process.env.DROVER_DIST) table()
const sum = (pattern) => files().filter((path) => pattern.test(path)).reduce((total, path) => total + statSync(path).size, 0)
console.log(`dist: ${Math.round(sum(/(?<!\.br|\.gz)$/) / 1000)} kB, brotli ${Math.round(sum(/\.br$/) / 1000)} kB, gzip ${Math.round(sum(/\.gz$/) / 1000)} kB`)
