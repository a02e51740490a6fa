import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))

interface Import {
  from: string
  to: string
}

function filesOf(folder: string, endings: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.test(entry.name))
    .map((entry) => posix.relative(root, posix.join(entry.parentPath, entry.name)))
}

/** Every import of a file of ours by another, types included. */
const imports: Import[] = filesOf('lib', /\.ts$/).flatMap((from) =>
  [...readFileSync(join(root, from), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, path = '']) => ({
    from,
    to: normalize(join(dirname(from), path)).replace(/\.js$/, '.ts'),
  })),
)

const includes: Import[] = filesOf('native', /\.(cc|h|cu|cuh)$/).flatMap((from) =>
  [...readFileSync(join(root, from), 'utf8').matchAll(/#include "([^"]+)"/g)].map(([, path]) => ({
    from,
    to: `native/${path}`,
  })),
)

/** The circles in a graph of folders, each by the imports that close it: empty where folders can be put in an order. */
function circles(edges: readonly Import[], folderOf: (file: string) => string): string[] {
  const known = new Map<string, Set<string>>()
  for (const { from, to } of edges) {
    const folders = known.get(folderOf(from)) ?? new Set()
    known.set(folderOf(from), folders.add(folderOf(to)))
  }
  const reaches = (start: string, end: string): boolean => {
    const seen = new Set([start])
    for (const folder of seen) for (const next of known.get(folder) ?? []) seen.add(next)
    return [...seen].some((folder) => folder !== start && folder === end)
  }
  return edges
    .filter(({ from, to }) => folderOf(from) !== folderOf(to) && reaches(folderOf(to), folderOf(from)))
    .map(({ from, to }) => `${from} → ${to}`)
}

/** Files beside the folders of lib stand for themselves. */
const folderOfModule = (file: string): string => (dirname(file) === 'lib' ? file : dirname(file))
/** A folder of native and what lies in it, such as kernels of one instruction set, are one. */
const folderOfSource = (file: string): string => file.split('/').slice(0, 2).join('/')

test('a circle is found', () => {
  const edges = [
    { from: 'lib/a/x.ts', to: 'lib/b/y.ts' },
    { from: 'lib/b/z.ts', to: 'lib/c/z.ts' },
    { from: 'lib/c/z.ts', to: 'lib/a/w.ts' },
    { from: 'lib/c/z.ts', to: 'lib/d/w.ts' },
  ]
  expect(circles(edges, folderOfModule)).toEqual([
    'lib/a/x.ts → lib/b/y.ts',
    'lib/b/z.ts → lib/c/z.ts',
    'lib/c/z.ts → lib/a/w.ts',
  ])
  expect(circles(edges.slice(0, 2), folderOfModule)).toEqual([])
})

test('the folders of lib import each other in no circle', () => {
  expect(imports.length).toBeGreaterThan(500)
  expect(circles(imports, folderOfModule)).toEqual([])
})

test('the files of lib import each other in no circle', () => {
  expect(circles(imports, (file) => file)).toEqual([])
})

test('all that merges goes through one session', () => {
  const importersOf = (file: string) =>
    imports.filter(({ to }) => to === `lib/merge/${file}.ts`).map(({ from }) => from)
  expect(importersOf('run/finishedMerge')).toEqual(['lib/merge/run/session.ts'])
  expect(importersOf('run/session').sort()).toEqual([
    'lib/cli/carryOut.ts',
    'lib/merge/batch.ts',
    'lib/merge/fuseCheckpoints.ts',
    'lib/merge/merge.ts',
    'lib/merge/reproduce.ts',
    'lib/plan.ts',
    'lib/report/plan.ts',
  ])
})

test('the folders of native include each other in no circle', () => {
  expect(includes.length).toBeGreaterThan(500)
  expect(circles(includes, folderOfSource)).toEqual([])
})

test('nothing but the command imports lib/cli', () => {
  expect(imports.filter(({ from, to }) => to.startsWith('lib/cli/') && !from.startsWith('lib/cli/'))).toEqual([])
})

test('only native/addon knows Node, and only lib/native the addon', () => {
  const knows = (files: string[], name: RegExp) =>
    files.filter((file) => name.test(readFileSync(join(root, file), 'utf8'))).map((file) => dirname(file))
  expect(new Set(knows(filesOf('native', /\.(cc|h)$/), /#include <(napi|node_api)\.h>/))).toEqual(
    new Set(['native/addon']),
  )
  expect(new Set(knows(filesOf('lib', /\.ts$/), /'node-gyp-build'/))).toEqual(new Set(['lib/native']))
})
