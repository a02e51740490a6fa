import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { readPrepared } from '../data/readPrepared.js'
import { plainChatml, sums, writeLines, writeModel } from '../data/support.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

/** A directory with a run, its model and its data. */
function project(rows: unknown[] = sums(50)) {
  const directory = temporaryDirectory()
  const model = writeModel({ template: plainChatml })
  mkdirSync(join(directory, 'rows'))
  const rowsPath = writeLines(join(directory, 'rows', 'sums.jsonl'), rows)
  const data = '{ sources: [rows/sums.jsonl], cutoffLength: 128, validation: { fraction: 0.2 }, cache: cache }'
  writeFileSync(join(directory, 'run.yaml'), `model: ${model}\noutput: out\ndata: ${data}\n`)
  return { directory, model, rowsPath, run: join(directory, 'run.yaml') }
}

describe('data preview', () => {
  test('of a run', async () => {
    const { code, stdout, stderr } = await runCommand([
      'data',
      'preview',
      project().run,
      '--row',
      '3',
      '--samples',
      '2',
    ])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^sums, row 3 \(.*sums\.jsonl\)\n\d+ tokens, \d+ trained\. <think> is in the target/)
    expect(stdout).toContain('<|im_start|>user\nWhat is 3 plus 9?<|im_end|>\n<|im_start|>assistant\n⟦<think>\nStep 0')
    expect(stdout).toContain('\nsums, row 4 (')
    expect(stdout).toContain('Trained tokens are in ⟦ ⟧')
  })

  test('of a file and a model, as JSON', async () => {
    const { model, rowsPath } = project()
    const args = ['--model', model, '--data', rowsPath, '--template', 'llama3', '--think', 'prompt', '--json']
    const { code, stdout } = await runCommand(['data', 'preview', ...args])
    expect(code).toBe(0)
    const preview = JSON.parse(stdout)
    expect(preview.samples[0]).toMatchObject({ source: 'sums', thinkIn: 'prompt' })
    expect(preview.generationPrompt).toBe('<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>\n')
  })

  test.each([
    [[], /Name the file of a run, or pass --model DIR and --data FILE/],
    [['--model', 'm'], /Name the file of a run/],
    [['run.yaml', '--template', 'qwen'], /only without the file of a run: use --set there/],
  ])('%j is a wrong command line', async (args, message) => {
    const { code, stderr } = await runCommand(['data', 'preview', ...args])
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })

  test('a wrong run is refused with its lines', async () => {
    const { run, directory } = project()
    writeFileSync(run, 'model: m\noutput: out\ndata:\n  sources: [rows]\n  packing: tight\n  sed: 1\n')
    const { code, stderr } = await runCommand(['data', 'preview', 'run.yaml'], { cwd: directory })
    expect(code).toBe(1)
    expect(stderr).toContain("run.yaml:5:12: Expected one of none, pack, neat for packing but received 'tight'")
    expect(stderr).toContain('run.yaml:6:3: Unknown key "sed": did you mean seed?')
  })
})

describe('data prepare', () => {
  test('shows what became of the rows, and finds the data again', async () => {
    const { run, directory } = project([...sums(120), '{'])
    const first = await runCommand(['data', 'prepare', run])
    expect([first.code, first.stderr]).toEqual([0, ''])
    expect(first.stdout).toMatch(
      /^source +rows +filtered +bad +too long +documents +validation +truncated +tokens +trained\nsums +121 +0 +1 +0 /,
    )
    expect(first.stdout).toMatch(/\ntrain +\d+ +\d+ +\S+( k)? +\S+( k)? +\d\d\.\d %\nvalidation /)
    expect(first.stdout).toContain('Packing neat, at most 128 tokens a pack')
    expect(first.stdout).toMatch(/\n +32 to 63 +\d+ +\d+\.\d % +#+/)
    expect(first.stdout).toMatch(/Unusable rows of sums:\n {2}.*sums\.jsonl, row 120 \(line 121\): the row is no JSON/)
    const [, train] = /Written: (\S+)/.exec(first.stdout) ?? []
    expect(train?.startsWith(join(directory, 'cache'))).toBe(true)
    expect(readPrepared(train as string).documents.length).toBeGreaterThan(70)
    const second = await runCommand(['data', 'prepare', run, '--json'])
    expect(JSON.parse(second.stdout)).toMatchObject({ cached: true, train: { directory: train } })
  })

  test('--set changes the run', async () => {
    const { run } = project()
    const { stdout } = await runCommand(['data', 'prepare', run, '--set', 'data.packing=none', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ packing: 'none', train: { efficiency: 1 } })
  })

  test('with options alone', async () => {
    const { model, rowsPath, directory } = project()
    const args = [
      '--model',
      model,
      '--data',
      rowsPath,
      '--validation',
      '7',
      '--packing',
      'pack',
      '--cutoff-length',
      '99',
    ]
    const { code, stdout } = await runCommand(['data', 'prepare', ...args, '--json'], { cwd: directory })
    expect(code).toBe(0)
    const prepared = JSON.parse(stdout)
    expect(prepared).toMatchObject({ packing: 'pack', cutoffLength: 99, validation: { documents: 7 } })
    expect(existsSync(join(directory, '.branchmerge/data', prepared.key, 'train/meta.json'))).toBe(true)
  })

  test('too many bad rows are a failure', async () => {
    const { run } = project([...sums(5), '{'])
    const { code, stdout } = await runCommand(['data', 'prepare', run, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_DATA' } })
  })

  // Again with more rows where it was done before the signal came.
  test('Ctrl-C leaves nothing unfinished', async () => {
    for (let rows = 30_000; ; rows *= 2) {
      const { run, directory } = project(sums(rows))
      const { code, signal } = await runCommand(['data', 'prepare', run], {
        onStart: async (child) => {
          while (child.exitCode === null && !existsSync(join(directory, 'cache'))) await sleep(5)
          child.kill('SIGINT')
        },
      })
      if (code === 0 && rows < 1e6) continue
      expect([code, signal]).toEqual([130, null])
      expect(readdirSync(join(directory, 'cache'))).toEqual([])
      break
    }
  })
})
