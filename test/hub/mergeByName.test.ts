import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { analyse, fuse, openCheckpoint as inspect, merge, plan, reproduce, verify } from '../../lib/index.js'
import { HubServer, hubFile, hubFiles } from '../support/hubServer.js'
import { preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dealToShards, drawModel, fineTune, qwen2Shapes, writeCheckpoint } from '../support/writeCheckpoint.js'

let server: HubServer
beforeAll(async () => {
  server = await HubServer.start()
})
afterAll(() => server.close())
beforeEach(() => {
  server.faults = {}
  server.requests.length = 0
  server.bytesServed = 0
})

const base = drawModel()
const pair = [fineTune(base, { seed: 11 }), fineTune(base, { seed: 12 })] as const

/** The pair in directories and as repositories org/NAME-left and org/NAME-right. */
function publish(name: string, more: { shards?: string[][]; files?: Record<string, string> } = {}) {
  const directory = temporaryDirectory()
  const sides = ['left', 'right'].map((side, i) => {
    const path = writeCheckpoint(join(directory, side), { tensors: pair[i] as (typeof pair)[0], ...more })
    const repository = server.add(`org/${name}-${side}`, [...hubFiles(path), hubFile('pytorch_model.bin', 'pickle')])
    return { path, repository, commit: repository.refs.get('main') as string }
  })
  return { directory, left: sides[0] as (typeof sides)[0], right: sides[1] as (typeof sides)[0] }
}

const environment = (cache: string, more: Record<string, string> = {}) => ({
  HF_ENDPOINT: server.endpoint,
  HF_HUB_CACHE: cache,
  HF_HOME: join(cache, 'home'),
  HF_TOKEN: server.token,
  ...more,
})

/** The environment of the calls that follow, with a cache of their own. */
function useCache(): string {
  const cache = temporaryDirectory()
  Object.assign(process.env, environment(cache))
  return cache
}

const weightsIn = (directory: string) => readFileSync(join(directory, 'model.safetensors'))
const manifestIn = (directory: string) => JSON.parse(readFileSync(join(directory, 'branchmerge.json'), 'utf8'))
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable(),
    ({ code, message }) => {
      expect(message).not.toContain(server.token)
      return { code, message } as { code: string; message: string }
    },
  )

async function succeed(args: string[], options: Parameters<typeof runCommand>[1]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args, options)
  expect(stderr + stdout).not.toContain(server.token)
  expect(stderr + stdout).not.toContain('signature=secret')
  expect({ code, stderr }).toMatchObject({ code: 0 })
  return stdout
}

async function fail(args: string[], options: Parameters<typeof runCommand>[1]) {
  const { code, stdout, stderr } = await runCommand([...args, '--json'], options)
  expect(stderr + stdout).not.toContain(server.token)
  expect(code).toBeGreaterThan(0)
  return JSON.parse(stdout).error as { code: string; message: string }
}

describe('a merge of names', () => {
  test('is that of the directories, is recorded by commits, and is made again from them', async () => {
    const { directory, left, right } = publish('pair', { shards: dealToShards(base, 3) })
    useCache()
    const [local, named, again] = ['local', 'named', 'again'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ]
    const options = { maxShardSize: '1GB' }
    await fuse(left.path, right.path, { ...options, out: local })
    const { notes } = await fuse('org/pair-left', 'hf://models/org/pair-right@main', { ...options, out: named })
    expect(notes).toContain(`Left is hf://models/org/pair-left@${left.commit}`)
    expect(weightsIn(named).equals(weightsIn(local))).toBe(true)
    expect(manifestIn(named).models).toMatchObject({
      left: { origin: { name: `hf://models/org/pair-left@${left.commit}`, revision: 'main' } },
      right: { origin: { name: `hf://models/org/pair-right@${right.commit}`, revision: 'main' } },
    })
    expect(readdirSync(named)).not.toContain('pytorch_model.bin')
    // What main is now is another model.
    server.commit(left.repository, hubFiles(right.path))
    useCache()
    await reproduce(named, { out: again })
    expect(weightsIn(again).equals(weightsIn(local))).toBe(true)
    expect((await verify(named)).problems).toEqual([])
    // A merge that is done is known to be, by the commits.
    const name = `org/pair-left@${left.commit}`
    const { alreadyDone } = await fuse(name, 'org/pair-right', { ...options, out: named, resume: true })
    expect(alreadyDone).toBe(true)
  })

  test('takes names in recipes and in configurations of mergekit; a directory of the name comes first', async () => {
    const { directory, left, right } = publish('recipe')
    useCache()
    const recipe = join(directory, 'recipes', 'r.yaml')
    mkdirSync(join(directory, 'recipes'))
    writeFileSync(recipe, 'models:\n  a: org/recipe-left\n  b: {path: org/recipe-right@main}\nexpression: a & b\n')
    await merge(recipe, { out: join(directory, 'by-recipe') })
    await fuse(left.path, right.path, { out: join(directory, 'local') })
    const expected = weightsIn(join(directory, 'local'))
    expect(weightsIn(join(directory, 'by-recipe')).equals(expected)).toBe(true)
    const mergekit = join(directory, 'mergekit.yml')
    writeFileSync(
      mergekit,
      'merge_method: arcee_fusion\nbase_model: org/recipe-left\nmodels:\n  - model: org/recipe-right\n',
    )
    const { notes } = await plan.merge(mergekit, { out: join(directory, 'by-mergekit') })
    expect(notes.join('\n')).toContain(`is hf://models/org/recipe-left@${left.commit}`)
    // The same name, as a directory beside the recipe: nothing is asked for.
    writeCheckpoint(join(directory, 'recipes/org/recipe-left'), { tensors: pair[0] })
    writeCheckpoint(join(directory, 'recipes/org/recipe-right@main'), { tensors: pair[1] })
    server.requests.length = 0
    await merge(recipe, { out: join(directory, 'by-directory') })
    expect(server.requests).toEqual([])
    expect(weightsIn(join(directory, 'by-directory')).equals(expected)).toBe(true)
  })

  test('is compared with its models by name, too', async () => {
    const { left, right } = publish('analysed')
    useCache()
    const downloads: number[] = []
    const { results } = await analyse({
      base: 'org/analysed-left',
      experts: { right: `org/analysed-right@${right.commit}` },
      onDownload: ({ bytesDone }) => downloads.push(bytesDone),
    })
    const { results: expected } = await analyse({ base: left.path, experts: { right: right.path } })
    const [expert] = expected.experts
    expect(results).toEqual({
      ...expected,
      base: { ...expected.base, path: `hf://models/org/analysed-left@${left.commit}` },
      experts: [{ ...expert, path: `hf://models/org/analysed-right@${right.commit}` }],
    })
    expect(downloads.length).toBeGreaterThan(0)
  })

  test('takes a folder of a repository', async () => {
    const { directory, left, right } = publish('folders')
    const files = [left, right].flatMap(({ path }, i) =>
      hubFiles(path).map((file) => ({ ...file, path: `part/${i}/${file.path}` })),
    )
    server.add('org/folders', files)
    useCache()
    const [local, named] = [join(directory, 'local'), join(directory, 'named')]
    await fuse(left.path, right.path, { out: local })
    await fuse('hf://models/org/folders/part/0', 'hf://models/org/folders@main/part/1', { out: named })
    expect(weightsIn(named).equals(weightsIn(local))).toBe(true)
    const { message } = await failureOf(fuse('org/folders', 'org/folders-right', { out: join(directory, 'x') }))
    expect(message).toContain('part/0, part/1')
  })
})

describe('before a download', () => {
  const largeIn = (cache: string) =>
    readdirSync(cache, { recursive: true }).filter(
      (name) => /\/[0-9a-f]{64}(\.|$)/.test(String(name)) && !/\.lock$/.test(String(name)),
    )

  test('a plan is known from headers, and what does not fit is refused by its name', async () => {
    const { directory } = publish('plan')
    const cache = useCache()
    const out = join(directory, 'x')
    expect(await plan.fuse('org/plan-left', 'org/plan-right', { out })).toMatchObject({ tensors: base.size })
    expect(largeIn(cache)).toEqual([])
    const shapes = qwen2Shapes().map(([name, shape]): [string, number[]] =>
      name === 'model.norm.weight' ? [name, [17]] : [name, shape],
    )
    const odd = writeCheckpoint(join(directory, 'odd'), { tensors: drawModel({ shapes }) })
    server.add('org/odd', hubFiles(odd))
    expect(await failureOf(fuse('org/plan-left', 'org/odd', { out }))).toMatchObject({
      code: 'ERR_SHAPE_MISMATCH',
      message: expect.stringContaining('model.norm.weight'),
    })
    expect(largeIn(cache)).toEqual([])
    // A header that is none is told with the name of its file.
    const small = hubFiles(odd).filter(({ lfs }) => !lfs)
    server.add('org/garbage', [...small, hubFile('model.safetensors', Buffer.alloc(100, 7))])
    expect((await failureOf(inspect('org/garbage'))).message).toMatch(
      /hf:\/\/models\/org\/garbage@[0-9a-f]{40}\/model\.safetensors/,
    )
  })

  test('inspect reads headers alone, and names the files', async () => {
    const { left } = publish('inspect', { shards: dealToShards(base, 4) })
    const cache = useCache()
    const { files, tensors } = await inspect('org/inspect-left')
    expect(tensors).toHaveLength(base.size)
    expect(files.map(({ path }) => path)[1]).toBe(
      `hf://models/org/inspect-left/model-00002-of-00004.safetensors@${left.commit}`,
    )
    expect(largeIn(cache)).toEqual([])
  })

  test('the headers of 160 shards are read in a few megabytes', async () => {
    // As many tensors as a model of 671B parameters has, with its names; the bytes of tensors do not exist.
    const shards = Array.from({ length: 160 }, (_, i) => `model-${String(i + 1).padStart(5, '0')}-of-00160.safetensors`)
    const weightMap: Record<string, string> = {}
    const files = shards.map((name, i) => {
      const tensors = Array.from({ length: 290 }, (_, j) => `model.layers.${i}.mlp.experts.${j}.down_proj.weight`)
      for (const tensor of tensors) weightMap[tensor] = name
      const bytes = 2 * 2048 * 7168
      const entries = tensors.map((tensor, j) => [
        tensor,
        { dtype: 'BF16', shape: [7168, 2048], data_offsets: [j * bytes, (j + 1) * bytes] },
      ])
      const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
      const text = Buffer.concat([json, Buffer.alloc(-json.length & 7, ' ')])
      const head = Buffer.alloc(8)
      head.writeBigUInt64LE(BigInt(text.length))
      const header = Buffer.concat([head, text])
      return {
        ...hubFile(name, header),
        bytes: header.length + tensors.length * bytes,
        read: (begin: number, end: number) => Buffer.concat([header, Buffer.alloc(end)]).subarray(begin, end),
      }
    })
    const index = { metadata: { total_size: 160 * 290 * 2 * 2048 * 7168 }, weight_map: weightMap }
    server.add('deepseek/large', [
      hubFile('config.json', '{"model_type":"deepseek_v3","architectures":["DeepseekV3ForCausalLM"]}'),
      hubFile('tokenizer.json', '{}'),
      hubFile('model.safetensors.index.json', JSON.stringify(index)),
      ...files,
    ])
    server.bytesServed = 0
    useCache()
    expect(await inspect('deepseek/large')).toMatchObject({ parameters: 160 * 290 * 2048 * 7168 })
    expect(server.bytesServed).toBeLessThan(12 * 2 ** 20)
    const ranges = server.requests.filter(({ path }) => path.startsWith('store'))
    expect(ranges.length).toBeLessThanOrEqual(2 * 160)
  })
})

describe('the cache', () => {
  test('two processes at once fetch each file once', async () => {
    const { directory } = publish('both')
    const env = environment(temporaryDirectory())
    const bytes = largeBytes()
    const small = hubFiles(writeCheckpoint(join(directory, 'small'), { tensors: base })).filter(({ lfs }) => !lfs)
    server.add('org/twice', [...small, hubFile('model.safetensors', bytes)])
    const run = () => fail(['export', 'gguf', 'org/twice', '--out', join(directory, 'x.gguf')], { env })
    const errors = await Promise.all([run(), run()])
    // Both have it and find out then that it is no model.
    expect(errors.map(({ code }) => code)).toEqual(['ERR_HEADER_JSON', 'ERR_HEADER_JSON'])
    expect(server.bytesServed).toBeGreaterThan(bytes.length)
    expect(server.bytesServed).toBeLessThan(bytes.length + 2 ** 20)
  })

  test.each(['SIGINT', 'SIGKILL'] as const)(
    'goes on after %s in the middle of a download, with what came before',
    async (signal) => {
      const directory = temporaryDirectory()
      const cache = temporaryDirectory()
      const env = environment(cache)
      const bytes = largeBytes()
      const small = hubFiles(writeCheckpoint(join(directory, 'small'), { tensors: base })).filter(({ lfs }) => !lfs)
      server.add('org/stopped', [...small, hubFile('model.safetensors', bytes)])
      const blobs = join(cache, 'models--org--stopped', 'blobs')
      const journal = () => {
        const name = existsSync(blobs) && readdirSync(blobs).find((each) => each.endsWith('.pieces'))
        return name ? readFileSync(join(blobs, name), 'utf8') : ''
      }
      server.faults.hold = (path, begin) => path === 'model.safetensors' && begin >= 32 * 2 ** 20
      const args = ['export', 'gguf', 'org/stopped', '--out', join(directory, 'x.gguf')]
      const stopped = await runCommand(args, {
        env,
        onStart: async (child) => {
          while (child.exitCode === null && journal().split('\n').length < 3) await sleep(5)
          child.kill(signal)
        },
      })
      expect([stopped.code, stopped.signal]).toEqual(signal === 'SIGINT' ? [130, null] : [null, 'SIGKILL'])
      expect(existsSync(join(cache, 'models--org--stopped', 'refs', 'main'))).toBe(true)
      server.faults = {}
      server.bytesServed = 0
      expect((await fail(args, { env })).code).toBe('ERR_HEADER_JSON')
      expect(server.bytesServed).toBeLessThan(33 * 2 ** 20)
      const [blob] = readdirSync(blobs).filter((name) => /^[0-9a-f]{64}$/.test(name))
      expect(readFileSync(join(blobs, blob as string)).equals(bytes)).toBe(true)
      expect(readdirSync(blobs).filter((name) => name.includes('.'))).toEqual([])
    },
  )

  test('that can only be read is enough where all is there, and is told where not', async () => {
    const { directory } = publish('readonly')
    const cache = temporaryDirectory()
    await succeed(['fuse', 'org/readonly-left', 'org/readonly-right', '--out', join(directory, 'one')], {
      env: environment(cache),
    })
    const env = environment(cache, { READ_ONLY: cache, NODE_OPTIONS: preload('readOnlyCache.js') })
    await succeed(['fuse', 'org/readonly-left', 'org/readonly-right@main', '--out', join(directory, 'two')], { env })
    publish('unread')
    const error = await fail(['fuse', 'org/readonly-left', 'org/unread-right', '--out', join(directory, 'three')], {
      env,
    })
    expect(error).toMatchObject({ code: 'ERR_OUTPUT_WRITE', message: expect.stringContaining('set HF_HUB_CACHE') })
  })

  test('a disk without room is told before a byte is fetched; one that is full meanwhile keeps what came', async () => {
    const { directory } = publish('full')
    const cache = temporaryDirectory()
    const env = environment(cache, { NODE_OPTIONS: preload('tellFullDisk.js') })
    const early = await fail(['export', 'gguf', 'org/full-left', '--out', join(directory, 'x.gguf')], { env })
    expect(early.code).toBe('ERR_DISK_FULL')
    const bytes = largeBytes()
    server.add('org/big', [
      ...hubFiles(writeCheckpoint(join(directory, 'small'), { tensors: base })).filter(({ lfs }) => !lfs),
      hubFile('model.safetensors', bytes),
    ])
    const full = environment(cache, { NODE_OPTIONS: preload('fullForBlobs.js') })
    const late = await fail(['export', 'gguf', 'org/big', '--out', join(directory, 'x.gguf')], { env: full })
    expect(late.code).toBe('ERR_DISK_FULL')
    server.bytesServed = 0
    await fail(['export', 'gguf', 'org/big', '--out', join(directory, 'x.gguf')], { env: environment(cache) })
    expect(server.bytesServed).toBeLessThan(bytes.length - 8 * 2 ** 20)
    expect(readdirSync(join(cache, 'models--org--big/blobs')).filter((name) => name.includes('pieces'))).toEqual([])
  })
})

/** 64 MiB with the length of a header, and no header. */
function largeBytes(): Buffer {
  const bytes = Buffer.alloc(64 * 2 ** 20)
  for (let i = 8; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i)
  bytes.writeBigUInt64LE(16n)
  return bytes
}
