import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { finishMerge, fuse, merge, mergePart, push, verify } from '../../lib/index.js'
import { HubServer, hubFiles } from '../support/hubServer.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { drawModel, fineTune, writeCheckpoint } from '../support/writeCheckpoint.js'

let server: HubServer
const cache = temporaryDirectoryOfFile()
beforeAll(async () => {
  server = await HubServer.start()
  Object.assign(process.env, {
    HF_ENDPOINT: server.endpoint,
    HF_HUB_CACHE: cache,
    HF_HOME: cache,
    HF_TOKEN: server.token,
  })
})
afterAll(() => server.close())

const base = drawModel()
const licensed = (licence: string) => `---\nlicense: ${licence}\nlanguage: [en]\n---\n# A model\n`

function modelOf(seed: number, licence?: string): string {
  const files = licence === undefined ? {} : { 'README.md': licensed(licence) }
  return writeCheckpoint(join(temporaryDirectory(), `m${seed}`), { tensors: fineTune(base, { seed }), files })
}

function publish(name: string, seed: number, licence?: string): string {
  const { refs } = server.add(`org/${name}`, hubFiles(modelOf(seed, licence)))
  return refs.get('main') as string
}

const newOut = () => join(temporaryDirectory(), 'merged')
const cardIn = (out: string, name = 'README.md') => readFileSync(join(out, name), 'utf8')

function readCard(text: string): { front: Record<string, unknown>; body: string } {
  const [, front = '', body = ''] = /^---\n(.*?)\n---\n(.*)$/s.exec(text) ?? []
  return { front: parse(front), body }
}

test('the card of a merge has what the Hub reads, the models by commit, the recipe and the shares', async () => {
  const commits = [publish('a', 1, 'apache-2.0'), publish('b', 2, 'apache-2.0')]
  const out = newOut()
  const { merges } = await merge(
    { models: { a: 'org/a', b: 'org/b', c: modelOf(3, 'apache-2.0') }, expression: '(a & b) & c' },
    { out },
  )
  const { front, body } = readCard(cardIn(out))
  expect(front).toEqual({
    base_model: ['org/a', 'org/b'],
    base_model_relation: 'merge',
    library_name: 'transformers',
    license: 'apache-2.0',
    tags: ['merge', 'branchmerge'],
  })
  for (const commit of commits) expect(body).toContain(commit)
  expect(body).toContain('# Merge of org/a, org/b, c\n')
  const [, recipe = ''] = /```yaml\n(.*?)```/s.exec(body) ?? []
  expect(parse(recipe)).toEqual(JSON.parse(readFileSync(join(out, 'branchmerge.json'), 'utf8')).recipe)
  expect(merges).toHaveLength(2)
  for (const { id, keptFraction } of merges) {
    const [, share] = new RegExp(`\\| \`${id.replace(/[()&]/g, '\\$&')}\` \\| fuse \\| ([\\d.]+)`).exec(body) ?? []
    expect(Number(share)).toBeCloseTo(100 * keptFraction, 0)
  }
  // Nothing of this machine.
  expect(cardIn(out)).not.toContain('/tmp')
  expect(cardIn(out)).not.toContain(server.token)
})

test('licences that differ are not joined, and the card says so', async () => {
  for (const [left, right] of [
    ['mit', 'llama3'],
    ['mit', undefined],
  ] as const) {
    const out = newOut()
    await fuse(modelOf(4, left), modelOf(5, right), { out })
    const { front, body } = readCard(cardIn(out))
    expect(front).not.toHaveProperty('license')
    expect(front).not.toHaveProperty('base_model')
    expect(body).toContain('The licences differ')
    expect(body).toContain(right ?? 'not stated')
  }
})

test('a card is replaced as long as nobody has changed it; what people wrote stays', async () => {
  const [left, right] = [modelOf(6), modelOf(7)]
  const out = newOut()
  await fuse(left, right, { out })
  const first = cardIn(out)
  await fuse(left, right, { out, overwrite: true, lambda: 2 })
  const second = cardIn(out)
  expect(second).not.toBe(first)
  appendFileSync(join(out, 'README.md'), '\nMine.\n')
  expect((await verify(out)).problems).toEqual([])
  const { notes } = await fuse(left, right, { out, overwrite: true })
  expect(cardIn(out)).toBe(`${second}\nMine.\n`)
  expect(cardIn(out, 'README.branchmerge.md')).toBe(first)
  expect(notes.join('\n')).toContain('README.branchmerge.md')
})

test('--no-card writes none, and removes that of the checkpoint that is replaced', async () => {
  const [left, right] = [modelOf(8), modelOf(9)]
  const out = newOut()
  const run = async (...more: string[]) => {
    const { code, stderr } = await runCommand(['fuse', left, right, '--out', out, ...more])
    expect({ code, stderr }).toMatchObject({ code: 0 })
    return existsSync(join(out, 'README.md'))
  }
  expect(await run()).toBe(true)
  expect(await run('--no-card', '--overwrite')).toBe(false)
})

test('a merge in parts has the card of one in a piece', async () => {
  const models = { a: modelOf(10, 'mit'), b: modelOf(11, 'mit') }
  const [whole, parts] = [newOut(), newOut()]
  await merge('a & b', { models, out: whole })
  for (const part of [1, 2]) await mergePart('a & b', { models, out: parts, part, parts: 2 })
  await finishMerge(parts)
  expect(cardIn(parts)).toBe(cardIn(whole))
})

test('a push replaces a card that branchmerge wrote, and leaves one that people wrote', async () => {
  const [left, right] = [modelOf(12), modelOf(13)]
  const out = newOut()
  await fuse(left, right, { out })
  await push(out, 'org/carded')
  const there = () => {
    const { refs, commits } = server.repositories.get('models/org/carded') as NonNullable<
      ReturnType<typeof server.repositories.get>
    >
    const file = commits.get(refs.get('main') as string)?.find(({ path }) => path === 'README.md')
    return file?.read(0, file.bytes).toString()
  }
  expect(there()).toBe(cardIn(out))
  await fuse(left, right, { out, overwrite: true, lambda: 2 })
  await push(out, 'org/carded')
  expect(there()).toBe(cardIn(out))
  const theirs = writeCheckpoint(join(temporaryDirectory(), 'theirs'), {
    tensors: base,
    files: { 'README.md': '# Mine' },
  })
  await push(theirs, 'org/carded')
  expect(there()).toBe('# Mine')
  const { notes } = await push(out, 'org/carded')
  expect(notes.join('\n')).toContain('stays')
  expect(there()).toBe('# Mine')
  writeFileSync(join(out, 'README.md'), '# Also mine')
  await push(out, 'org/carded')
  expect(there()).toBe('# Also mine')
})
