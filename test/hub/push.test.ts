import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fuse, push } from '../../lib/index.js'
import type { PushProgress } from '../../lib/push/push.js'
import { HubServer, hubFile, hubFiles } from '../support/hubServer.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { dealToShards, drawModel, fineTune, writeCheckpoint } from '../support/writeCheckpoint.js'

let server: HubServer
const cache = temporaryDirectoryOfFile()
beforeAll(async () => {
  server = await HubServer.start()
  server.partBytes = 4_000
  Object.assign(process.env, {
    HF_ENDPOINT: server.endpoint,
    HF_HUB_CACHE: cache,
    HF_HOME: cache,
    HF_TOKEN: server.token,
  })
})
afterAll(() => server.close())
beforeEach(() => {
  server.faults = {}
  server.requests.length = 0
  server.bytesReceived = 0
})

const base = drawModel()
/** Larger than a part each. */
const shards = dealToShards(base, 2)
const directoryOf = (seed: number, more: { shards?: string[][] } = { shards }) =>
  writeCheckpoint(join(temporaryDirectory(), 'm'), {
    tensors: fineTune(base, { seed }),
    ...more,
    files: { 'tokenizer.json': '{"a":1}', 'tokenizer_config.json': '{}', 'notes.txt': 'mine', 'README.md': '# Mine\n' },
  })

function repositoryOf(name: string) {
  const repository = server.repositories.get(`models/org/${name}`)
  expect(repository).toBeDefined()
  return repository as NonNullable<typeof repository>
}

function filesOf(name: string, branch = 'main'): Map<string, Buffer> {
  const { refs, commits } = repositoryOf(name)
  const files = commits.get(refs.get(branch) as string) ?? []
  return new Map(files.map(({ path, bytes, read }) => [path, read(0, bytes)]))
}

const commitsOf = (name: string) => repositoryOf(name).commits.size
const paths = () => server.requests.map(({ path }) => path)
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable(),
    ({ code, message }) => {
      expect(message).not.toContain(server.token)
      expect(message).not.toContain('signature=secret')
      return { code, message } as { code: string; message: string }
    },
  )

describe('a push', () => {
  test('makes a private repository of all files of a checkpoint, large ones in parts, and no others', async () => {
    const directory = directoryOf(1)
    const seen: PushProgress[] = []
    const summary = await push(directory, 'org/new', {
      private: true,
      onProgress: (progress) => seen.push({ ...progress }),
    })
    expect(repositoryOf('new').private).toBe(true)
    const files = filesOf('new')
    const names = [...files.keys()].filter((name) => name !== '.gitattributes').sort()
    expect(names).toEqual([
      'LICENSE',
      'README.md',
      'config.json',
      'generation_config.json',
      'merges.txt',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'vocab.json',
    ])
    for (const name of names) expect(files.get(name)?.equals(readFileSync(join(directory, name)))).toBe(true)
    expect(summary).toMatchObject({
      repository: 'org/new',
      url: `${server.endpoint}/org/new`,
      commit: repositoryOf('new').refs.get('main'),
      created: true,
      alreadyDone: false,
      files: 11,
      left: ['notes.txt'],
      removed: [],
    })
    // The weights, once, and as large as they are.
    const large = names.filter((name) => name.endsWith('.safetensors')).map((name) => files.get(name) as Buffer)
    const bytes = large.reduce((sum, { length }) => sum + length, 0)
    expect(summary.bytesSent).toBe(bytes)
    expect(server.bytesReceived).toBe(bytes)
    expect(paths().filter((path) => path.startsWith('store/upload/')).length).toBeGreaterThan(large.length)
    expect(paths().filter((path) => path.startsWith('store/complete/'))).toHaveLength(large.length)
    // The store gets no token.
    expect(server.requests.filter(({ path, token }) => path.startsWith('store') && token)).toEqual([])
    for (const phase of ['hash', 'send'] as const) {
      const done = seen.filter((progress) => progress.phase === phase).map(({ bytesDone }) => bytesDone)
      expect(done.length).toBeGreaterThan(2)
      expect(done).toEqual(done.toSorted((a, b) => a - b))
    }
    // Again: nothing is sent, and nothing is committed.
    const again = await push(directory, 'org/new', { private: true })
    expect(again).toMatchObject({ alreadyDone: true, created: false, bytesSent: 0, commit: summary.commit })
    expect(commitsOf('new')).toBe(2)
  })

  test('takes the place of another checkpoint, whose weights and tokenizer do not stay beside it', async () => {
    const old = hubFiles(directoryOf(2, {}))
    server.add('org/other', [
      ...old,
      hubFile('added_tokens.json', '{}'),
      hubFile('figures.pdf', 'x'),
      hubFile('NOTICE', 'y'),
    ])
    const directory = directoryOf(3)
    const { removed } = await push(directory, 'org/other')
    expect(removed).toEqual(['added_tokens.json', 'model.safetensors'])
    const names = [...filesOf('other').keys()]
    expect(names).toEqual(
      expect.arrayContaining(['NOTICE', 'figures.pdf', 'notes.txt', 'model.safetensors.index.json']),
    )
    expect(names.filter((name) => name.endsWith('.safetensors'))).toHaveLength(2)
  })

  test('goes to a branch, which it makes, and leaves main as it is', async () => {
    await push(directoryOf(4), 'org/branches')
    const main = repositoryOf('branches').refs.get('main')
    const directory = directoryOf(5)
    const { revision, url } = await push(directory, 'org/branches', { revision: 'lambda-2' })
    expect({ revision, url }).toEqual({ revision: 'lambda-2', url: `${server.endpoint}/org/branches/tree/lambda-2` })
    expect(repositoryOf('branches').refs.get('main')).toBe(main)
    const name = 'model-00001-of-00002.safetensors'
    expect(
      filesOf('branches', 'lambda-2')
        .get(name)
        ?.equals(readFileSync(join(directory, name))),
    ).toBe(true)
  })

  test('is what a merge by name takes then', async () => {
    await push(directoryOf(6), 'org/left')
    await push(directoryOf(7), 'org/right')
    const out = join(temporaryDirectory(), 'merged')
    await fuse('org/left@main', 'org/right@main', { out })
    const { left } = await push(out, 'org/merged')
    expect(left).toEqual([])
    const manifest = JSON.parse(filesOf('merged').get('branchmerge.json')?.toString() ?? '')
    expect(manifest.models.left.origin.name).toBe(`hf://models/org/left@${repositoryOf('left').refs.get('main')}`)
  })
})

describe('after a fault', () => {
  test('parts that were cut are sent again, and a store that fails for a while is asked again', async () => {
    let cuts = 3
    server.faults.cutUpload = (part) => (part === 2 && cuts-- > 0 ? 1000 : undefined)
    server.faults.refuse = { status: 503, times: 2 }
    const directory = directoryOf(8)
    const { bytesSent } = await push(directory, 'org/cut')
    expect(cuts).toBeLessThan(1)
    const weights = shards.map((_, i) => readFileSync(join(directory, `model-0000${i + 1}-of-00002.safetensors`)))
    expect(bytesSent).toBe(weights.reduce((sum, { length }) => sum + length, 0))
    expect(
      filesOf('cut')
        .get('model-00001-of-00002.safetensors')
        ?.equals(weights[0] as Buffer),
    ).toBe(true)
  })

  test('another push goes on: there is no commit before, and what is there is not sent again', async () => {
    const directory = directoryOf(9)
    const controller = new AbortController()
    const reason = new Error('stop')
    // One file is whole at the store when the second is cut for good.
    let whole = 0
    server.faults.cutUpload = () => {
      whole = server.stored.size
      return undefined
    }
    const before = server.stored.size
    const onProgress = ({ phase }: PushProgress) => {
      if (phase === 'send' && server.stored.size > before) controller.abort(reason)
    }
    await expect(push(directory, 'org/again', { signal: controller.signal, onProgress })).rejects.toBe(reason)
    expect(commitsOf('again')).toBe(1)
    expect([...filesOf('again').keys()]).toEqual(['.gitattributes'])
    expect(whole).toBeGreaterThanOrEqual(before)
    server.bytesReceived = 0
    server.faults = {}
    const { created, bytesSent } = await push(directory, 'org/again')
    const sizes = shards.map((_, i) => readFileSync(join(directory, `model-0000${i + 1}-of-00002.safetensors`)).length)
    expect(created).toBe(false)
    expect(bytesSent).toBeLessThan(sizes.reduce((sum, bytes) => sum + bytes, 0))
    expect(commitsOf('again')).toBe(2)
  })

  test('Ctrl-C says how to go on, and there is no commit', async () => {
    const directory = directoryOf(14)
    const held = new Promise<void>((resolve) => {
      server.faults.holdUpload = (part) => {
        if (part === 2) resolve()
        return part === 2
      }
    })
    const { code, stderr } = await runCommand(['push', directory, 'org/stopped'], {
      onStart: (child) => void held.then(() => child.kill('SIGINT')),
    })
    expect([code, stderr]).toEqual([130, expect.stringContaining('Interrupted by SIGINT; push again to go on')])
    expect(stderr).not.toContain('unfinished files')
    expect([...filesOf('stopped').keys()]).toEqual(['.gitattributes'])
    server.faults = {}
    expect((await push(directory, 'org/stopped')).alreadyDone).toBe(false)
    expect(filesOf('stopped').has('model.safetensors.index.json')).toBe(true)
  })

  test('a commit whose answer was lost counts, and is not made twice', async () => {
    server.faults.loseCommit = true
    const { commit } = await push(directoryOf(10), 'org/lost')
    expect(repositoryOf('lost').refs.get('main')).toBe(commit)
    expect(commitsOf('lost')).toBe(2)
  })

  test("somebody else's commit in between is not covered up", async () => {
    await push(directoryOf(11), 'org/race')
    const theirs = hubFile('theirs.txt', 'theirs')
    server.faults.beforeCommit = () => {
      server.faults = {}
      server.commit(repositoryOf('race'), [theirs])
    }
    const { code, message } = await failureOf(push(directoryOf(12), 'org/race'))
    expect(code).toBe('ERR_HUB_PROTOCOL')
    expect(message).toContain('changed on the Hub meanwhile')
    expect([...filesOf('race').keys()]).toEqual(['theirs.txt'])
  })

  test('a file that is written to while it is sent is told, and not committed', async () => {
    const directory = directoryOf(13)
    let written = false
    const onProgress = ({ phase }: PushProgress) => {
      if (phase !== 'send' || written) return
      written = true
      appendFileSync(join(directory, 'tokenizer.json'), ' ')
    }
    const { code, message } = await failureOf(push(directory, 'org/written', { onProgress }))
    expect(code).toBe('ERR_FILE_CHANGED')
    expect(message).toContain('tokenizer.json')
    expect(commitsOf('written')).toBe(1)
  })
})

describe('before anything is sent', () => {
  const nothingSent = () => expect(server.bytesReceived).toBe(0)

  test('a token is asked for, that may write', async () => {
    const directory = directoryOf(14)
    delete process.env.HF_TOKEN
    const none = await failureOf(push(directory, 'org/x')).finally(() => {
      process.env.HF_TOKEN = server.token
    })
    expect(none).toMatchObject({ code: 'ERR_HUB_ACCESS', message: expect.stringContaining('set HF_TOKEN') })
    server.faults.role = 'read'
    expect(await failureOf(push(directory, 'org/x'))).toMatchObject({
      code: 'ERR_HUB_ACCESS',
      message: expect.stringContaining('may only read'),
    })
    server.faults = {}
    // Of others: one that is there, and one that is not.
    server.add('others/there', [])
    for (const name of ['others/there', 'others/new']) {
      const { code, message } = await failureOf(push(directory, name))
      expect({ code, message }).toMatchObject({ code: 'ERR_HUB_ACCESS', message: expect.stringContaining('write to') })
    }
    nothingSent()
  })

  test('a public repository is not taken for a private one', async () => {
    server.add('org/public', [])
    const { code, message } = await failureOf(push(directoryOf(15), 'org/public', { private: true }))
    expect(code).toBe('ERR_HUB_ACCESS')
    expect(message).toContain('public')
    nothingSent()
  })

  test('a directory that is incomplete or not finished is refused', async () => {
    const missing = directoryOf(16)
    rmSync(join(missing, 'model-00002-of-00002.safetensors'))
    expect((await failureOf(push(missing, 'org/x'))).code).toBe('ERR_INDEX_SHARD_MISSING')
    expect((await failureOf(push(temporaryDirectory(), 'org/x'))).code).toBe('ERR_CHECKPOINT_NOT_FOUND')
    const unfinished = directoryOf(17)
    writeFileSync(join(unfinished, 'model.safetensors.old.branchmerge-partial'), '')
    expect(await failureOf(push(unfinished, 'org/x'))).toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      message: expect.stringContaining('not finished'),
    })
    const parts = directoryOf(18)
    mkdirSync(join(parts, '.branchmerge-shards'))
    expect((await failureOf(push(parts, 'org/x'))).message).toContain('branchmerge finish')
    const out = join(temporaryDirectory(), 'merged')
    await fuse(directoryOf(19), directoryOf(20), { out })
    writeCheckpoint(out, { tensors: base })
    expect((await failureOf(push(out, 'org/x'))).code).toBe('ERR_MANIFEST')
    expect(server.requests).toEqual([])
  })

  test('a name that is none of a model, and a revision that is no branch, are refused', async () => {
    const directory = directoryOf(21)
    for (const name of ['hf://datasets/org/x', 'merged', 'hf://models/org/x/folder']) {
      expect((await failureOf(push(directory, name))).code).toBe('ERR_INVALID_ARGUMENT')
    }
    expect((await failureOf(push(directory, 'org/x', { revision: 'a'.repeat(40) }))).code).toBe('ERR_INVALID_ARGUMENT')
    expect(server.requests).toEqual([])
  })
})

test('the command says what it sent, and in JSON', async () => {
  const directory = directoryOf(22)
  const { code, stdout } = await runCommand(['push', directory, 'org/command', '--private'])
  expect(code).toBe(0)
  expect(stdout).toContain('Made the repository org/command')
  expect(stdout).toContain('Not sent: notes.txt')
  expect(stdout).toContain(`${server.endpoint}/org/command`)
  const again = await runCommand(['push', directory, 'org/command', '--json'])
  expect(JSON.parse(again.stdout)).toMatchObject({ repository: 'org/command', alreadyDone: true })
  expect(again.stdout + stdout).not.toContain(server.token)
})
