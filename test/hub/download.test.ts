import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Hub } from '../../lib/hub/hub.js'
import type { HubSettings } from '../../lib/hub/settings.js'
import { HubServer, hubFile } from '../support/hubServer.js'
import { Random } from '../support/random.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, safetensorsBytes } from '../support/writeCheckpoint.js'

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

const weights = safetensorsBytes(drawModel())
const config = JSON.stringify({ architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', tie_word_embeddings: true })
const small = [
  hubFile('config.json', config),
  hubFile('tokenizer.json', '{}'),
  hubFile('tokenizer_config.json', '{}'),
  hubFile('README.md', '---\nlicense: mit\n---\n'),
]
const model = () => [...small, hubFile('model.safetensors', weights)]
const large = () => {
  const bytes = Buffer.alloc(40 * 2 ** 20)
  for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i)
  return bytes
}

function settings(more: Partial<HubSettings> = {}): HubSettings {
  return { endpoint: server.endpoint, cache: temporaryDirectory(), token: undefined, offline: false, ...more }
}

async function fetchModel(name: string, given: HubSettings, options = {}): Promise<string> {
  const hub = new Hub(given, options)
  try {
    return (await hub.fetch(await hub.pin(name, 'model'), 'model'))[0] as string
  } finally {
    await hub.close()
  }
}

const blobsOf = (cache: string, name: string) => join(cache, `models--${name.replace('/', '--')}`, 'blobs')

describe('a download', () => {
  test('has the layout of the cache of Hugging Face', async () => {
    const { refs } = server.add('org/plain', [
      ...model(),
      hubFile('pytorch_model.bin', 'pickle'),
      hubFile('original/a.safetensors', 'x'),
    ])
    const given = settings()
    const path = await fetchModel('org/plain', given)
    const commit = refs.get('main') as string
    const folder = join(given.cache, 'models--org--plain')
    expect(path).toBe(join(folder, 'snapshots', commit))
    expect(readFileSync(join(folder, 'refs/main'), 'utf8')).toBe(commit)
    const sha256 = createHash('sha256').update(weights).digest('hex')
    expect(readlinkSync(join(path, 'model.safetensors'))).toBe(`../../blobs/${sha256}`)
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
    const sha1 = createHash('sha1').update(`blob ${config.length}\0${config}`).digest('hex')
    expect(readlinkSync(join(path, 'config.json'))).toBe(`../../blobs/${sha1}`)
    // Only what is needed: no pickle, nothing of original/, and nothing unfinished.
    expect(readdirSync(path).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expect(readdirSync(join(folder, 'blobs'))).toHaveLength(4) // two files are the same
    expect(existsSync(join(given.cache, '.locks/models--org--plain', `${sha256}.lock`))).toBe(true)
    expect(server.requests.filter(({ path }) => path.startsWith('store') && path.includes('pytorch'))).toEqual([])
  })

  test('is not done again, and not asked for by a commit', async () => {
    const { refs } = server.add('org/once', model())
    const given = settings()
    const path = await fetchModel('org/once', given)
    server.requests.length = 0
    expect(await fetchModel('org/once', given)).toBe(path)
    expect(await fetchModel(`org/once@${refs.get('main')}`, given)).toBe(path)
    expect(server.requests).toEqual([])
    // A branch that is named is asked for, and nothing else.
    expect(await fetchModel('org/once@main', given)).toBe(path)
    expect(server.requests.map(({ path }) => path)).toEqual(['/api/models/org/once/revision/main'])
  })

  test('goes on after cuts at random bytes', async () => {
    const bytes = large()
    const random = new Random(7)
    server.add('org/cut', [...small, hubFile('model.safetensors', bytes)])
    let cuts = 0
    server.faults.cut = (_path, begin, end) => {
      if (cuts === 40 || random.uniform() < 0.3) return undefined
      cuts++
      return Math.floor(random.uniform() * (end - begin))
    }
    const path = await fetchModel('org/cut', settings())
    expect(readFileSync(join(path, 'model.safetensors')).equals(bytes)).toBe(true)
    expect(cuts).toBeGreaterThan(5)
    // What had come was not fetched again.
    expect(server.bytesServed).toBeLessThan(bytes.length * 1.2 + 40 * 2 ** 20 * 0.1)
  })

  test('goes on in another run, from what an aborted one left', async () => {
    const bytes = large()
    server.add('org/abort', [...small, hubFile('model.safetensors', bytes)])
    const given = settings()
    const controller = new AbortController()
    const reason = new Error('stop')
    const onProgress = ({ bytesDone }: { bytesDone: number }) => {
      if (bytesDone > 20 * 2 ** 20) controller.abort(reason)
    }
    await expect(fetchModel('org/abort', given, { signal: controller.signal, onProgress })).rejects.toBe(reason)
    const served = server.bytesServed
    const left = readdirSync(blobsOf(given.cache, 'org/abort'))
    expect(left.filter((name) => name.endsWith('.pieces.incomplete'))).toHaveLength(1)
    // Nothing that Python's tools would go on with: to them its size is what is there.
    expect(left.filter((name) => /^[0-9a-f]{64}(\.incomplete)?$/.test(name))).toEqual([])
    server.bytesServed = 0
    const path = await fetchModel('org/abort', given)
    expect(readFileSync(join(path, 'model.safetensors')).equals(bytes)).toBe(true)
    expect(served).toBeGreaterThan(20 * 2 ** 20)
    expect(server.bytesServed).toBeLessThan(24 * 2 ** 20)
    expect(readdirSync(blobsOf(given.cache, 'org/abort')).filter((name) => name.includes('.'))).toEqual([])
  })

  test('goes on with the beginning that a Python tool left', async () => {
    const bytes = large()
    const file = hubFile('model.safetensors', bytes)
    server.add('org/python', [...small, file])
    const given = settings()
    const blobs = blobsOf(given.cache, 'org/python')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, `${file.lfs}.incomplete`), bytes.subarray(0, 30 * 2 ** 20))
    const path = await fetchModel('org/python', given)
    expect(readFileSync(join(path, 'model.safetensors')).equals(bytes)).toBe(true)
    expect(server.bytesServed).toBeLessThan(11 * 2 ** 20)
  })

  test('begins again where what was left is wrong', async () => {
    const bytes = large()
    const file = hubFile('model.safetensors', bytes)
    server.add('org/rotten', [...small, file])
    const given = settings()
    const blobs = blobsOf(given.cache, 'org/rotten')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, `${file.lfs}.incomplete`), Buffer.alloc(2 ** 20, 1))
    const path = await fetchModel('org/rotten', given)
    expect(readFileSync(join(path, 'model.safetensors')).equals(bytes)).toBe(true)
  })

  test('refuses bytes of another hash, and keeps none of them', async () => {
    server.add('org/damaged', model())
    server.faults.damage = true
    const given = settings()
    await expect(fetchModel('org/damaged', given)).rejects.toMatchObject({ code: 'ERR_HUB_PROTOCOL' })
    server.faults = {}
    const path = await fetchModel('org/damaged', given)
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
  })

  test('refuses a server that ignores ranges, and a file that has changed', async () => {
    server.add('org/ranges', [...small, hubFile('model.safetensors', large())])
    server.faults.ignoreRanges = true
    await expect(fetchModel('org/ranges', settings())).rejects.toMatchObject({
      code: 'ERR_HUB_PROTOCOL',
      message: expect.stringContaining('ignores ranges'),
    })
    server.faults = { changed: true }
    await expect(fetchModel('org/ranges', settings())).rejects.toMatchObject({
      code: 'ERR_HUB_PROTOCOL',
      message: expect.stringContaining('the hash ffff'),
    })
  })

  test('asks for a new address where that of the store has expired', async () => {
    const bytes = large()
    server.add('org/expired', [...small, hubFile('model.safetensors', bytes)])
    server.faults.expireAfter = 2
    const path = await fetchModel('org/expired', settings())
    expect(readFileSync(join(path, 'model.safetensors')).equals(bytes)).toBe(true)
  })

  test('waits as a limit and a fault of the server ask for', async () => {
    server.add('org/later', model())
    server.faults.refuse = { status: 429, times: 2, retryAfter: '0' }
    await fetchModel('org/later', settings())
    server.faults.refuse = { status: 503, times: 2 }
    await fetchModel('org/later@main', settings())
    server.faults.refuse = { status: 429, times: 1, retryAfter: '3600' }
    await expect(fetchModel('org/later@main', settings())).rejects.toMatchObject({
      code: 'ERR_HUB_UNAVAILABLE',
      message: expect.stringContaining('limits how often'),
    })
  })

  test('sends the token to the Hub alone', async () => {
    server.add('org/private', model(), { private: true })
    await fetchModel('org/private', settings({ token: server.token }))
    const store = server.requests.filter(({ path }) => path.startsWith('store'))
    expect(store.length).toBeGreaterThan(0)
    expect(store.every(({ token }) => !token)).toBe(true)
    expect(server.requests.filter(({ path }) => !path.startsWith('store')).every(({ token }) => token)).toBe(true)
  })
})

describe('what the Hub refuses', () => {
  test('says what to do', async () => {
    server.add('org/gated', model(), { gated: true })
    server.add('org/secret', model(), { private: true })
    server.add('org/qwen-math', model())
    const failure = async (name: string, token?: string) => {
      const error = await fetchModel(name, settings({ token })).catch((error) => error)
      expect(error.message).not.toContain(token ?? 'hf_')
      return { code: error.code, message: error.message }
    }
    expect(await failure('org/gated')).toMatchObject({
      code: 'ERR_HUB_ACCESS',
      message: expect.stringContaining('accept its conditions'),
    })
    expect(await failure('org/gated', server.token)).toMatchObject({
      code: 'ERR_HUB_ACCESS',
      message: expect.stringContaining('ask for access'),
    })
    expect(await failure('org/secret')).toMatchObject({
      code: 'ERR_HUB_NOT_FOUND',
      message: expect.stringContaining('If it is private, set HF_TOKEN'),
    })
    expect(await failure('org/secret', 'hf_wrong')).toMatchObject({ code: 'ERR_HUB_NOT_FOUND' })
    expect(await failure('org/qwen-mth')).toMatchObject({
      code: 'ERR_HUB_NOT_FOUND',
      message: expect.stringMatching(/no directory org\/qwen-mth here, and as a name: .*did you mean org\/qwen-math\?/),
    })
    expect(await failure('org/qwen-math@v9')).toMatchObject({
      code: 'ERR_HUB_NOT_FOUND',
      message: expect.stringContaining('no such revision'),
    })
    server.add('org/pickle', [...small, hubFile('pytorch_model.bin', 'x')])
    expect(await failure('org/pickle')).toMatchObject({
      code: 'ERR_CHECKPOINT_NOT_FOUND',
      message: expect.stringContaining('pickles'),
    })
  })
})

describe('a cache', () => {
  test('laid out by hand opens without a request, also offline', async () => {
    const cache = temporaryDirectory()
    const commit = 'bbc77c8132af1cc5cf678da3f1ddf2de43606d48'
    const folder = join(cache, 'models--julien-c--EsperBERTo-small')
    const files = {
      'config.json': config,
      'tokenizer.json': '{}',
      'model.safetensors': weights,
      '1_Pooling/config.json': '{}',
    }
    for (const [name, content] of Object.entries(files)) {
      const { lfs, oid } = hubFile(name, content)
      const blob = join(folder, 'blobs', lfs ?? oid)
      mkdirSync(dirname(blob), { recursive: true })
      writeFileSync(blob, content)
      const link = join(folder, 'snapshots', commit, name)
      mkdirSync(dirname(link), { recursive: true })
      const up = name.includes('/') ? '../../../blobs' : '../../blobs'
      const { symlinkSync } = await import('node:fs')
      symlinkSync(`${up}/${lfs ?? oid}`, link)
    }
    mkdirSync(join(folder, 'refs'))
    writeFileSync(join(folder, 'refs/main'), commit)
    const expected = join(folder, 'snapshots', commit)
    const nowhere = { endpoint: 'http://127.0.0.1:9', cache }
    expect(await fetchModel('julien-c/EsperBERTo-small', settings(nowhere))).toBe(expected)
    expect(await fetchModel('julien-c/EsperBERTo-small@main', settings({ ...nowhere, offline: true }))).toBe(expected)
    await expect(fetchModel('org/other', settings({ ...nowhere, offline: true }))).rejects.toMatchObject({
      code: 'ERR_HUB_UNAVAILABLE',
      message: expect.stringContaining('HF_HUB_OFFLINE'),
    })
    expect(lstatSync(join(expected, 'config.json')).isSymbolicLink()).toBe(true)
  })

  test('keeps the commit of a revision that moves', async () => {
    const repository = server.add('org/moving', model())
    const given = settings()
    const hub = new Hub(given)
    const pin = await hub.pin('org/moving@main', 'model')
    const other = safetensorsBytes(drawModel({ seed: 2 }))
    const moved = server.commit(repository, [...small, hubFile('model.safetensors', other)])
    const [path] = await hub.fetch(pin, 'model')
    await hub.close()
    expect(readFileSync(join(path as string, 'model.safetensors')).equals(weights)).toBe(true)
    const now = await fetchModel('org/moving@main', given)
    expect(now).toContain(moved)
    expect(readFileSync(join(now, 'model.safetensors')).equals(other)).toBe(true)
    expect(readFileSync(join(given.cache, 'models--org--moving/refs/main'), 'utf8')).toBe(moved)
  })
})
