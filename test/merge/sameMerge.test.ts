import { cpSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { batch, finishMerge, fuse, type MergeOptions, merge, mergePart } from '../../lib/index.js'
import { KnownHashes } from '../../lib/merge/output/inputContent.js'
import { inputState, isSameState } from '../../lib/merge/output/inputStates.js'
import { fileNames, hashFiles, isPartial } from '../support/directoryContents.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dealToShards, drawModel, fineTune, type Tensors, writeCheckpoint } from '../support/writeCheckpoint.js'

const base = drawModel()

/** Two fine-tunes of one shape, whose files have the same sizes, headers and times. */
function arrange() {
  const directory = temporaryDirectory()
  const tensors = { left: fineTune(base, { seed: 2 }), right: fineTune(base, { seed: 3 }) }
  const path = (name: string) => join(directory, name)
  for (const name of ['left', 'right'] as const) write(path(name), tensors[name])
  return { directory, tensors, left: path('left'), right: path('right'), out: path('out') }
}

function write(directory: string, tensors: Tensors) {
  writeCheckpoint(directory, { tensors, shards: dealToShards(tensors, 3) })
  stamp(directory)
}

/** As an archive or a mirror does that keeps no times. */
function stamp(directory: string) {
  for (const name of readdirSync(directory)) utimesSync(join(directory, name), 1e9, 1e9)
}

/** Another training of the model in the same place: one tensor has moved. */
function retrain({ right, tensors }: ReturnType<typeof arrange>) {
  const name = 'model.layers.1.mlp.up_proj.weight'
  const again = new Map(tensors.right)
  again.set(name, fineTune(base, { seed: 9 }).get(name) as never)
  write(right, again)
}

const exists = (text: string) => ({ code: 'ERR_OUTPUT_EXISTS', message: expect.stringContaining(text) })

describe('a finished merge, with resume', () => {
  test('is finished for the same models alone, wherever they lie', async () => {
    const { left, right, out, directory } = arrange()
    await fuse(left, right, { out })
    const before = hashFiles(out)
    expect(await fuse(left, right, { out, resume: true })).toMatchObject({ alreadyDone: true })
    const copy = join(directory, 'copy')
    cpSync(left, copy, { recursive: true })
    expect(await fuse(copy, right, { out, resume: true })).toMatchObject({ alreadyDone: true })
    expect(hashFiles(out)).toEqual(before)
  })

  test('is none for models that have changed places', async () => {
    const { left, right, out, directory } = arrange()
    await fuse(left, right, { out })
    const before = hashFiles(out)
    const swapped = fuse(right, left, { out, resume: true })
    await expect(swapped).rejects.toMatchObject(exists(`Left, ${right}, has another content than what was merged`))
    await expect(swapped).rejects.toMatchObject(exists('it has that of Right'))
    expect(hashFiles(out)).toEqual(before)
    expect(await fuse(right, left, { out, resume: true, overwrite: true })).toMatchObject({ alreadyDone: false })
    const fresh = join(directory, 'fresh')
    await fuse(right, left, { out: fresh })
    expect(hashFiles(out)).toEqual(hashFiles(fresh))
  })

  test('is none after one model was trained again in its place, at the same time of the files', async () => {
    const pair = arrange()
    const { left, right, out } = pair
    await fuse(left, right, { out })
    retrain(pair)
    await expect(fuse(left, right, { out, resume: true })).rejects.toMatchObject(
      exists(`Right, ${right}, has another content than what was merged, first in "model.layers.1.mlp.up_proj.weight"`),
    )
  })

  test.each<[changed: string, options: Partial<MergeOptions>, text: string]>([
    ['an option of the fusion', { lambda: 2 }, 'options.lambda was not given and is 2'],
    ['the dtype', { dtype: 'F32' }, 'output.dtype was not given and is "F32"'],
    ['the files', { maxShardSize: '4KB' }, 'output.maxShardSize was not given and is 4000'],
    ['hashes of whole files', { sha256: true }, 'SHA-256 of left'],
  ])('is none with other options: %s', async (_, options, text) => {
    const { left, right, out } = arrange()
    const models = { left, right }
    await merge('left & right', { models, out })
    await expect(merge('left & right', { models, out, resume: true, ...options })).rejects.toMatchObject(exists(text))
    expect(await merge('left & right', { models, out, resume: true, threads: 1, memory: '1MB' })).toMatchObject({
      alreadyDone: true,
    })
  })

  test.each([
    ['another order', 'linear(right, left)', 'expression was "linear(left, right)"'],
    ['another method', 'slerp(left, right; t=0.5)', 'expression was'],
  ])('is none of another recipe: %s', async (_, other, text) => {
    const { left, right, out } = arrange()
    const models = { left, right }
    await merge('linear(left, right)', { models, out })
    await expect(merge(other, { models, out, resume: true })).rejects.toMatchObject(exists(text))
  })

  test('is none after a file beside the weights has changed, there or here, or by another version', async () => {
    const { left, right, out } = arrange()
    await fuse(left, right, { out })
    const again = () => fuse(left, right, { out, resume: true })
    for (const [directory, text] of [
      [left, `${join(left, 'vocab.json')} has another content`],
      [out, 'vocab.json there is not the file that was written'],
    ] as const) {
      const path = join(directory, 'vocab.json')
      const before = readFileSync(path)
      writeFileSync(path, Buffer.alloc(before.length, ' '))
      await expect(again()).rejects.toMatchObject(exists(text))
      writeFileSync(path, before)
    }
    const path = join(out, 'branchmerge.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"branchmerge": "[^"]*"/, '"branchmerge": "0.0.1"'))
    await expect(again()).rejects.toMatchObject(exists('It is of branchmerge 0.0.1, this is'))
  })

  test('is told by the command, and progress while the models are read', async () => {
    const { left, right, out } = arrange()
    await fuse(left, right, { out })
    const { code, stderr } = await runCommand(['fuse', right, left, '--out', out, '--resume'])
    expect([code, stderr]).toEqual([1, expect.stringContaining('holds another merge than this one')])
    const seen: number[] = []
    await fuse(left, right, {
      out,
      resume: true,
      onProgress: ({ bytesDone, bytesTotal }) => seen.push(bytesDone / bytesTotal),
    })
    expect(seen.at(-1)).toBe(1)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(fuse(left, right, { out, resume: true, signal })).rejects.toThrow('enough')
  })

  test('is no reason for a batch to skip a recipe of other models', async () => {
    const pair = arrange()
    const { left, right, directory } = pair
    const files = ['one', 'two'].map((name) => join(directory, `${name}.yaml`))
    for (const [i, file] of files.entries())
      writeFileSync(file, `models: { a: {}, b: {} }\nexpression: a & b\noptions: { lambda: ${i} }\n`)
    const run = async (models: Record<string, string>, options = {}) =>
      (await batch(files, { models, out: join(directory, 'batch'), ...options })).map(
        ({ status, error }) => error?.code ?? status,
      )
    const [as, swapped] = [
      { a: left, b: right },
      { a: right, b: left },
    ]
    expect(await run(as)).toEqual(['done', 'done'])
    expect(await run(as)).toEqual(['skipped', 'skipped'])
    expect(await run(swapped)).toEqual(['ERR_OUTPUT_EXISTS', 'ERR_OUTPUT_EXISTS'])
    expect(await run(swapped, { overwrite: true })).toEqual(['done', 'done'])
    expect(await run(swapped, { overwrite: true })).toEqual(['skipped', 'skipped'])
    retrain(pair)
    expect(await run(swapped, { overwrite: true })).toEqual(['done', 'done'])
  })
})

describe('an unfinished merge, with resume', () => {
  /** Merged up to some of the tensors, into files of a few of which one at least is safe. */
  async function halfMerged(pair: ReturnType<typeof arrange>) {
    const { left, right, out } = pair
    const options = { out, maxShardSize: '4KB', resume: true } as const
    for (;;) {
      const controller = new AbortController()
      let tensors = 0
      const onTensor = () => void (++tensors === 20 && controller.abort(new Error('enough')))
      await expect(fuse(left, right, { ...options, signal: controller.signal, onTensor })).rejects.toThrow('enough')
      expect(fileNames(out).every((name) => isPartial(name))).toBe(true)
      if (readFileSync(journalPath(out), 'utf8').split('\n').length > 2) return options
      rmSync(out, { recursive: true })
    }
  }

  const journalPath = (out: string) => join(out, fileNames(out).find((name) => name.startsWith('journal.')) as string)

  test('goes on with the same models, also where they lie elsewhere by now', async () => {
    const pair = arrange()
    const options = await halfMerged(pair)
    const copies = [pair.left, pair.right].map((path) => `${path} copied`) as [string, string]
    for (const [i, path] of [pair.left, pair.right].entries()) cpSync(path, copies[i] as string, { recursive: true })
    const { bytesRead } = await fuse(...copies, options)
    const fresh = join(pair.directory, 'fresh')
    const whole = await fuse(pair.left, pair.right, { out: fresh, maxShardSize: '4KB' })
    expect(bytesRead).toBeLessThan(whole.bytesRead)
    expect(hashFiles(pair.out)).toEqual(hashFiles(fresh))
  })

  test.each<[changed: string, change: (pair: ReturnType<typeof arrange>) => object, text: string]>([
    [
      'models that have changed places',
      (pair) => {
        ;[pair.left, pair.right] = [pair.right, pair.left]
        return {}
      },
      'it has that of Right',
    ],
    [
      'a model that was trained again in its place',
      ({ right }) => {
        write(right, fineTune(base, { seed: 9 }))
        return {}
      },
      'has another content than what was merged',
    ],
    ['another option', () => ({ lambda: 2 }), 'options.lambda was not given and is 2'],
  ])('is not gone on with: %s', async (_, change, text) => {
    const pair = arrange()
    const options = await halfMerged(pair)
    const before = fileNames(pair.out)
    const changed = { ...options, ...change(pair) }
    const again = fuse(pair.left, pair.right, changed)
    await expect(again).rejects.toMatchObject(exists('holds the work of an unfinished merge that is another one'))
    await expect(again).rejects.toMatchObject(exists(text))
    expect(fileNames(pair.out)).toEqual(before)
    await fuse(pair.left, pair.right, { ...changed, overwrite: true })
    const fresh = join(pair.directory, 'fresh')
    await fuse(pair.left, pair.right, { ...changed, out: fresh, resume: false })
    expect(hashFiles(pair.out)).toEqual(hashFiles(fresh))
  })

  test('of another version is not thrown away unasked', async () => {
    const pair = arrange()
    const options = await halfMerged(pair)
    const path = journalPath(pair.out)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"format":\d+/, '"format":2'))
    await expect(fuse(pair.left, pair.right, options)).rejects.toMatchObject(exists('another version of branchmerge'))
  })
})

describe('parts of a merge', () => {
  function newParts() {
    const pair = arrange()
    const { left, right, out } = pair
    const run = (part: number, models = { left, right }) =>
      mergePart('left & right', { models, out, maxShardSize: '4KB', part, parts: 2 })
    return { ...pair, run }
  }
  const mismatch = (text: string) => ({ code: 'ERR_PART_MISMATCH', message: expect.stringContaining(text) })

  test('of models that have changed places are refused, done again or as another part', async () => {
    const { run, left, right, out } = newParts()
    await run(1)
    const swapped = { left: right, right: left }
    for (const part of [1, 2]) {
      await expect(run(part, swapped)).rejects.toMatchObject(
        mismatch('inputs have changed since part 1 was done (left, '),
      )
    }
    await run(2)
    await finishMerge(out)
  })

  test('of a model that was trained again between them are refused, also by finish', async () => {
    const parts = newParts()
    await parts.run(1)
    await parts.run(2)
    write(parts.right, fineTune(base, { seed: 9 }))
    await expect(parts.run(1)).rejects.toMatchObject(mismatch('inputs have changed since part 1 was done (right, '))
    await expect(finishMerge(parts.out)).rejects.toMatchObject(mismatch('inputs have changed since part 1 was done'))
    expect(fileNames(parts.out)).toEqual(['.branchmerge-shards'])
  })

  test('of copies of the models are one merge', async () => {
    const { run, left, right, out, directory } = newParts()
    await run(1)
    const copies = { left: join(directory, 'l'), right: join(directory, 'r') }
    cpSync(left, copies.left, { recursive: true })
    cpSync(right, copies.right, { recursive: true })
    expect(await run(1, copies)).toMatchObject({ alreadyDone: true })
    await run(2, copies)
    await finishMerge(out)
    const fresh = join(directory, 'fresh')
    await merge('left & right', { models: { left, right }, out: fresh, maxShardSize: '4KB' })
    expect(hashFiles(out)).toEqual(hashFiles(fresh))
  })
})

describe('the state of a file', () => {
  test('tells every write, also one that puts the time back, and nothing right after one', async () => {
    const path = join(temporaryDirectory(), 'file')
    // Right after a write: within two seconds, which a busy machine may miss.
    do writeFileSync(path, 'one')
    while ((await inputState(path)) !== undefined)
    await setTimeout(2100)
    const before = await inputState(path)
    expect(isSameState(before, await inputState(path))).toBe(true)
    const { atime, mtime } = statSync(path)
    writeFileSync(path, 'two')
    utimesSync(path, atime, mtime)
    await setTimeout(2100)
    const after = await inputState(path)
    expect(after).toMatchObject({ bytes: before?.bytes, inode: before?.inode })
    expect(isSameState(before, after)).toBe(false)
    expect(isSameState(undefined, undefined)).toBe(false)
  })

  test('decides what is known of the file', () => {
    const state = { inode: '1', bytes: 8, modified: '2', changed: '3' }
    const tensor = { begin: 0, end: 8 } as never
    const known = new KnownHashes()
    known.set('a', state, tensor, 'hash')
    expect(known.get('a', { ...state }, tensor)).toBe('hash')
    expect(known.get('a', { ...state, changed: '4' }, tensor)).toBeUndefined()
    expect(known.get('a', state, { begin: 0, end: 4 } as never)).toBeUndefined()
    known.set('b', undefined, tensor, 'hash')
    expect(known.get('b', undefined, tensor)).toBeUndefined()
  })
})
