import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { analyse, openCheckpoint, writeGradient } from '../../../lib/index.js'
import { fileNames } from '../../support/directoryContents.js'
import { runCommand } from '../../support/runCommand.js'
import { newRun } from '../../support/sftRun.js'

describe('a gradient', () => {
  test('of a run is written beside its facts, and analyse compares two of them', async () => {
    const { file, directory, output, model } = await newRun('')
    const path = (name: string) => join(directory, name)
    const progress: unknown[] = []
    const summary = await writeGradient(file, { out: path('a'), packs: 2, onProgress: (each) => progress.push(each) })
    expect(fileNames(path('a')).sort()).toEqual(['gradient.json', 'model.safetensors'])
    expect(existsSync(output)).toBe(false)
    expect(progress.at(-1)).toEqual({ phase: 'gradient', packsDone: 2, packsTotal: 2 })
    const record = JSON.parse(readFileSync(path('a/gradient.json'), 'utf8'))
    const { out: _, seconds: __, ...facts } = summary
    expect(record).toMatchObject({ format: 'branchmerge gradient', version: 1, ...facts })
    const { code, stdout } = await runCommand(['sft', file, '--gradients-out', path('b'), '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ out: path('b'), trainedTokens: expect.any(Number) })

    const gradients = { a: path('a'), b: path('b'), again: path('a') }
    const { results } = await analyse({ base: model, gradients })
    expect(results.total.tensors).toBe((await openCheckpoint(model)).tensors.length)
    expect(results.total.gradients?.norms.a).toBeCloseTo(summary.norm, 5)
    const cosines = Object.fromEntries(
      results.total.gradients?.pairs.map(({ domains, cosine }) => [domains.join(' '), cosine]) ?? [],
    )
    expect(cosines['a again']).toBe(1)
    expect(cosines['a b']).toBeGreaterThan(0)
  })

  test('goes into no directory with other files, nor into the model; other options are refused', async () => {
    const { file, directory, model } = await newRun('')
    const out = join(directory, 'full')
    mkdirSync(out)
    writeFileSync(join(out, 'mine'), '')
    await expect(writeGradient(file, { out })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    await expect(writeGradient(file, { out: join(model, 'x') })).rejects.toMatchObject({ code: 'ERR_OUTPUT_IS_INPUT' })
    await expect(writeGradient(file, { out, packs: 0 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    const { code, stderr } = await runCommand(['sft', file, '--gradients-out', out, '--resume'])
    expect([code, stderr]).toEqual([2, expect.stringMatching(/gradients-out|resume/)])
  })

  test('leaves nothing after an abort', async () => {
    const { file, directory } = await newRun('')
    const reason = new Error('enough')
    const controller = new AbortController()
    const out = join(directory, 'out')
    const work = writeGradient(file, {
      out,
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'gradient') controller.abort(reason)
      },
    })
    // The abort may come after its last pack.
    const outcome = await work.then(
      () => 'written',
      (error) => error,
    )
    expect([reason, 'written']).toContain(outcome)
    if (outcome === reason) expect(existsSync(out)).toBe(false)
  })
})
