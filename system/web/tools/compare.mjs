/**
 * Says whether the bundle in the tree is what its sources give: node tools/compare.mjs FRESH. Plain files must be equal byte by
 * byte; packed ones must unpack to them, so that another zlib does not matter; the table of the crate must be equal.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const KEPT = join(ROOT, 'dist')
const fresh = process.argv[2]
const list = (folder, from = folder) =>
  readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? list(join(folder, entry.name), from) : [relative(from, join(folder, entry.name))]))
    .sort()
const faults = []
const [kept, made] = [list(KEPT), list(fresh)]
for (const name of made) if (!kept.includes(name)) faults.push(`${name} is not in dist/`)
for (const name of kept) {
  if (!made.includes(name)) {
    faults.push(`dist/${name} does not come out of a build`)
    continue
  }
  const bytes = readFileSync(join(KEPT, name))
  if (/\.(br|gz)$/.test(name)) {
    const plain = name.endsWith('.br') ? brotliDecompressSync(bytes) : gunzipSync(bytes)
    if (!plain.equals(readFileSync(join(KEPT, name.slice(0, -3))))) faults.push(`dist/${name} holds something else than its plain file`)
  } else if (!bytes.equals(readFileSync(join(fresh, name)))) faults.push(`dist/${name} differs`)
}
if (!readFileSync(join(ROOT, 'src-rs/table.rs')).equals(readFileSync(`${fresh}.table.rs`))) faults.push('src-rs/table.rs differs')
for (const fault of faults) console.error(fault)
if (faults.length) {
  console.error('the bundle in the tree is not that of its sources: npm run build, and commit dist/ and src-rs/table.rs')
  process.exit(1)
}
console.log(`dist/: ${kept.length} files, equal to a fresh build`)
