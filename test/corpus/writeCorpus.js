/**
 * Writes the corpus and its manifest for programs that are not JavaScript (test/native/check_files.cc):
 *
 *   node test/corpus/writeCorpus.js DIRECTORY
 *
 * Each line of DIRECTORY/manifest.tsv is the expected code ("-" for a good file), the reader and the path.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { badFiles } from './badFiles.js'
import { oddFiles } from './oddFiles.js'

const directory = process.argv[2]
if (directory === undefined) throw new Error('Usage: node test/corpus/writeCorpus.js DIRECTORY')

const items = [...badFiles, ...oddFiles.map((item) => ({ ...item, code: '-' }))]
const lines = []
for (const [i, { code, reader, write }] of items.entries()) {
  const folder = join(directory, String(i))
  await mkdir(folder, { recursive: true })
  const path = await write(folder)
  // What is wrong between an index and its shards, the native readers of one file do not look for.
  const between = reader === 'checkpoint' && !code.startsWith('ERR_FILE_')
  lines.push(`${between ? '-' : code}\t${reader}\t${path}\n`)
}
await writeFile(join(directory, 'manifest.tsv'), lines.join(''))
