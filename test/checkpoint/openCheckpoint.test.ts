import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/openCheckpoint.js'
import { readConfig } from '../../lib/checkpoint/readConfig.js'
import { growth, proportional } from '../support/growth.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dealToShards, drawModel, qwen2Shapes, safetensorsBytes, writeCheckpoint } from '../support/writeCheckpoint.js'

const index = 'model.safetensors.index.json'
const tensors = drawModel()
const parameters = qwen2Shapes()
  .map(([, shape]) => shape.reduce((product, size) => product * size, 1))
  .reduce((total, count) => total + count)

const single = () => writeCheckpoint(join(temporaryDirectory(), 'model'), { tensors })
const sharded = () =>
  writeCheckpoint(join(temporaryDirectory(), 'model'), { tensors, shards: dealToShards(tensors, 3) })
const shard = (i: number) => `model-0000${i}-of-00003.safetensors`

function editIndex(
  directory: string,
  edit: (index: { metadata?: object; weight_map: Record<string, string> }) => void,
) {
  const path = join(directory, index)
  const json = JSON.parse(readFileSync(path, 'utf8'))
  edit(json)
  writeFileSync(path, JSON.stringify(json))
}

describe('layouts', () => {
  test('a directory with model.safetensors', async () => {
    const directory = single()
    const checkpoint = await openCheckpoint(directory)
    expect(checkpoint).toMatchObject({ path: directory, directory, layout: 'single', parameters, problems: [] })
    expect(checkpoint.bytes).toBe(parameters * 2)
    expect(checkpoint.files).toMatchObject([{ name: 'model.safetensors', metadata: [['format', 'pt']] }])
    expect(checkpoint.files[0]?.headerHash).toMatch(/^[0-9a-f]{16}$/)
    expect(checkpoint.tensors.map(({ name, shape, dtype }) => [name, shape, dtype])).toEqual(
      qwen2Shapes().map(([name, shape]) => [name, shape, 'BF16']),
    )
  })

  test('a directory with shards and an index', async () => {
    const checkpoint = await openCheckpoint(sharded())
    expect(checkpoint).toMatchObject({ layout: 'sharded', parameters, problems: [] })
    expect(checkpoint.files.map(({ name }) => name)).toEqual([shard(1), shard(2), shard(3)])
    expect(checkpoint.tensors).toHaveLength(tensors.size)
    for (const { name, file, begin, end } of checkpoint.tensors) {
      const bytes = readFileSync(checkpoint.files[file]?.path as string).subarray(begin, end)
      expect(bytes.equals(tensors.get(name)?.data as Uint8Array)).toBe(true)
    }
  })

  test('one file', async () => {
    const path = join(single(), 'model.safetensors')
    expect(await openCheckpoint(path)).toMatchObject({ path, directory: undefined, layout: 'file', parameters })
  })

  test('both: model.safetensors wins, as in Transformers, and the index is a problem', async () => {
    const directory = sharded()
    copyFileSync(join(single(), 'model.safetensors'), join(directory, 'model.safetensors'))
    const checkpoint = await openCheckpoint(directory)
    expect(checkpoint.layout).toBe('single')
    expect(checkpoint.problems).toEqual([`${index} is ignored beside model.safetensors`])
  })

  test('links into a cache are followed, as the Hub client lays models out', async () => {
    const directory = sharded()
    const blobs = join(directory, '..', 'blobs')
    mkdirSync(blobs)
    renameSync(join(directory, shard(2)), join(blobs, 'abc'))
    symlinkSync('../blobs/abc', join(directory, shard(2)))
    expect((await openCheckpoint(directory)).parameters).toBe(parameters)
  })
})

describe('an index and its shards', () => {
  test('a wrong or missing total_size is only a problem', async () => {
    const directory = sharded()
    editIndex(directory, (json) => Object.assign(json, { metadata: { total_size: 7 } }))
    const { problems } = await openCheckpoint(directory)
    expect(problems).toEqual([`${index} says total_size 7, the tensors have ${parameters * 2} bytes`])
    editIndex(directory, (json) => delete json.metadata)
    expect((await openCheckpoint(directory)).problems[0]).toContain('does not say total_size')
  })

  test('a shard that lies there unlisted is a problem', async () => {
    const directory = sharded()
    writeFileSync(join(directory, 'model-00004-of-00004.safetensors'), '')
    expect((await openCheckpoint(directory)).problems[0]).toContain('model-00004-of-00004.safetensors is not listed')
  })

  test('all missing shards are named', async () => {
    const directory = sharded()
    rmSync(join(directory, shard(1)))
    rmSync(join(directory, shard(3)))
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: 'ERR_INDEX_SHARD_MISSING',
      message: expect.stringContaining(`${shard(1)}, ${shard(3)}`),
    })
  })

  const [firstName] = [...tensors.keys()] as [string]
  const mismatches: [string, (directory: string) => void, string][] = [
    [
      'a tensor placed in another shard',
      (directory) => editIndex(directory, (json) => Object.assign(json.weight_map, { [firstName]: shard(2) })),
      `"${firstName}" is not in ${shard(2)} as the index says but in ${shard(1)}`,
    ],
    [
      'a tensor that no shard has',
      (directory) => editIndex(directory, (json) => Object.assign(json.weight_map, { ghost: shard(2) })),
      `"ghost" is not in ${shard(2)} as the index says`,
    ],
    [
      'a tensor that the index does not list',
      (directory) => editIndex(directory, (json) => delete json.weight_map[firstName]),
      `"${firstName}" is in ${shard(1)} but the index does not list it`,
    ],
  ]
  test.each(mismatches)('%s', async (_, damage, message) => {
    const directory = sharded()
    damage(directory)
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: 'ERR_INDEX_MISMATCH',
      message: expect.stringContaining(message),
    })
  })

  test('of a tensor in two shards the index chooses one, and the other is a problem', async () => {
    const directory = sharded()
    const stored = tensors.get(firstName) as NonNullable<ReturnType<typeof tensors.get>>
    const overlay = new Map([[firstName, { ...stored, data: Buffer.alloc(stored.data.length, 1) }]])
    const name = 'model-overlay-00001.safetensors'
    writeFileSync(join(directory, name), safetensorsBytes(overlay))
    editIndex(directory, (json) => Object.assign(json.weight_map, { [firstName]: name }))
    const { tensors: found, files, problems, bytes } = await openCheckpoint(directory)
    const places = found.filter((tensor) => tensor.name === firstName).map(({ file }) => files[file]?.name)
    expect(places).toEqual([name])
    expect(bytes).toBe(parameters * 2)
    expect(problems).toEqual([`"${firstName}" of ${shard(1)} is passed over: ${index} takes it from ${name}`])
  })

  test('an index of other shards than those that are there is told as stale', async () => {
    const directory = sharded()
    for (const i of [1, 2, 3])
      renameSync(join(directory, shard(i)), join(directory, `model-0000${i}-of-00004.safetensors`))
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: 'ERR_INDEX_SHARD_MISSING',
      message: expect.stringMatching(/other shards, model-00001-of-00004\.safetensors.*: the index is stale/),
    })
  })

  test.each(['../x.safetensors', '/etc/passwd', 'a/b.safetensors', '..', ''])(
    'the shard name %o is refused',
    async (name) => {
      const directory = sharded()
      editIndex(directory, (json) => Object.assign(json.weight_map, { [firstName]: name }))
      await expect(openCheckpoint(directory)).rejects.toMatchObject({ code: 'ERR_INDEX_SHARD_NAME' })
    },
  )

  test('a shard that is no .safetensors file is refused', async () => {
    const directory = sharded()
    editIndex(directory, (json) => Object.assign(json.weight_map, { [firstName]: 'config.json' }))
    await expect(openCheckpoint(directory)).rejects.toMatchObject({ code: 'ERR_INDEX_SHARD_NAME' })
  })

  test('an index of absurd size is not read', async () => {
    const directory = sharded()
    writeFileSync(join(directory, index), Buffer.alloc(64 * 2 ** 20 + 1, ' '))
    await expect(openCheckpoint(directory)).rejects.toMatchObject({ code: 'ERR_INDEX_JSON' })
  })

  test('the time to refuse a crafted mismatch grows as the tensors do', async () => {
    const mismatch = (count: number) => {
      const directory = temporaryDirectory()
      const many = new Map(
        Array.from({ length: count }, (_, i) => [`t${i}`, { dtype: 'F32', shape: [0], data: Buffer.alloc(0) }]),
      )
      writeFileSync(join(directory, shard(1)), safetensorsBytes(many))
      writeFileSync(join(directory, shard(2)), safetensorsBytes(new Map()))
      const weightMap = Object.fromEntries([...many.keys()].map((name) => [name, shard(2)]))
      writeFileSync(join(directory, index), JSON.stringify({ weight_map: { ...weightMap, x: shard(1) } }))
      return directory
    }
    const directories = new Map([7500, 60_000].map((count) => [count, mismatch(count)]))
    const refuse = (count: number) =>
      expect(openCheckpoint(directories.get(count) as string)).rejects.toMatchObject({ code: 'ERR_INDEX_MISMATCH' })
    expect(await growth(refuse, 7500)).toBeLessThan(proportional)
  })
})

describe('paths that hold no checkpoint', () => {
  const empty = (...files: string[]) => {
    const directory = temporaryDirectory()
    for (const name of files) writeFileSync(join(directory, name), 'x')
    return directory
  }
  const cases: [string, () => string, string, string][] = [
    ['nothing there', () => join(empty(), 'no', 'such'), 'ERR_CHECKPOINT_NOT_FOUND', 'There is no checkpoint at'],
    [
      'an address',
      () => 'https://huggingface.co/Qwen/Qwen2.5-0.5B',
      'ERR_CHECKPOINT_NOT_FOUND',
      'Of a model on the Hub pass the name',
    ],
    ['an empty directory', () => empty(), 'ERR_CHECKPOINT_NOT_FOUND', 'it holds no weights'],
    ['pickles', () => empty('pytorch_model.bin'), 'ERR_CHECKPOINT_NOT_FOUND', 'convert them to safetensors'],
    ['an adapter', () => empty('adapter_model.safetensors'), 'ERR_CHECKPOINT_NOT_FOUND', 'merge that into its base'],
    ['GGUF', () => empty('model-q4.gguf'), 'ERR_CHECKPOINT_NOT_FOUND', 'GGUF'],
    ['another name', () => empty('weights.safetensors'), 'ERR_CHECKPOINT_NOT_FOUND', 'weights.safetensors'],
    ['a file of another kind', () => join(empty('a.txt'), 'a.txt'), 'ERR_CHECKPOINT_NOT_FOUND', '.safetensors file'],
    ['a pickle', () => join(empty('a.bin'), 'a.bin'), 'ERR_CHECKPOINT_NOT_FOUND', 'convert PyTorch pickles'],
    [
      'a GGUF file',
      () => join(empty('a.gguf'), 'a.gguf'),
      'ERR_CHECKPOINT_NOT_FOUND',
      'the safetensors that it comes from',
    ],
    ['a device', () => '/dev/zero', 'ERR_FILE_READ', 'regular file'],
    ['below a file', () => join(empty('f'), 'f', 'model'), 'ERR_FILE_READ', 'Cannot read'],
  ]
  test.each(cases)('%s', async (_, path, code, message) => {
    await expect(openCheckpoint(path())).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
  })

  test("a hub's cache is told, with the snapshot to pass", async () => {
    const cache = join(temporaryDirectory(), 'models--org--x')
    const [old, current] = [join(cache, 'snapshots', 'abc'), join(cache, 'snapshots', 'def')]
    for (const path of [old, current]) writeCheckpoint(path, { tensors })
    const hint = (text: string) => ({ code: 'ERR_CHECKPOINT_NOT_FOUND', message: expect.stringMatching(text) })
    await expect(openCheckpoint(cache)).rejects.toMatchObject(hint(`cache of Hugging Face: pass ${old} or ${current}$`))
    mkdirSync(join(cache, 'refs'))
    writeFileSync(join(cache, 'refs', 'main'), 'def')
    await expect(openCheckpoint(cache)).rejects.toMatchObject(hint(`cache of Hugging Face: pass ${current}$`))
    await expect(openCheckpoint(join(cache, 'snapshots'))).rejects.toMatchObject(hint(`below it: ${old}, ${current}$`))
  })

  test('a pointer of Git LFS is told from other files', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'model.safetensors')
    writeFileSync(path, 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3087467144\n')
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: 'ERR_HEADER_TOO_LARGE',
      message: `${path} is a pointer of Git LFS, not the weights: run git lfs pull there`,
    })
    writeFileSync(path, 'version 2 of something else')
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: 'ERR_HEADER_TOO_LARGE',
      message: expect.stringContaining('Is this a safetensors file?'),
    })
  })

  test('a pipe in the place of a file does not hang', async () => {
    const directory = temporaryDirectory()
    execFileSync('mkfifo', [join(directory, 'model.safetensors'), join(directory, 'config.json')])
    await expect(openCheckpoint(directory)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
    await expect(openCheckpoint(join(directory, 'model.safetensors'))).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
    await expect(readConfig(directory)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  })

  test('arguments that are no path', async () => {
    for (const path of [undefined, 7, '', 'a\0b']) {
      await expect(openCheckpoint(path as string)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })

  test('an aborted signal', async () => {
    await expect(openCheckpoint(single(), { signal: AbortSignal.abort('why') })).rejects.toBe('why')
  })
})

describe('config.json', () => {
  const config = (text: string | Uint8Array) => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'config.json'), text)
    return readConfig(directory)
  }

  test('ties are found at the top and under text_config', async () => {
    expect(await config('{"tie_word_embeddings": true}')).toMatchObject({ tiesWordEmbeddings: true })
    expect(await config('{"text_config": {"tie_word_embeddings": true}}')).toMatchObject({ tiesWordEmbeddings: true })
    const own = '{"tie_word_embeddings": false, "text_config": {"tie_word_embeddings": true}}'
    expect(await config(own)).toMatchObject({ tiesWordEmbeddings: false })
    expect(await config('{}')).toMatchObject({ tiesWordEmbeddings: false, namesCustomCode: false })
  })

  test('infinities as Python writes them are read', async () => {
    const text = '{"time_step_limit": [0.0, Infinity], "x": -Infinity, "y": NaN, "tie_word_embeddings": true}'
    expect(await config(text)).toMatchObject({ text, tiesWordEmbeddings: true })
  })

  test('none is undefined', async () => {
    expect(await readConfig(temporaryDirectory())).toBeUndefined()
  })

  test.each(['', '[]', 'null', '"x"', '{', '{"a": 1,}', Buffer.from([0x7b, 0xff, 0x7d])])(
    '%o is refused',
    async (text) => {
      await expect(config(text)).rejects.toMatchObject({ code: 'ERR_CONFIG_JSON' })
    },
  )

  test('one of absurd size is not read', async () => {
    await expect(config(Buffer.alloc(16 * 2 ** 20 + 1, ' '))).rejects.toMatchObject({ code: 'ERR_CONFIG_JSON' })
  })
})
