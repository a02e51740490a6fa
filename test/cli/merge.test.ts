import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fileNames, hashFiles, stampFiles } from '../support/directoryContents.js'
import { writeExperts } from '../support/experts.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

function setting() {
  const directory = temporaryDirectory()
  const { paths } = writeExperts(directory)
  const models = Object.entries(paths).flatMap(([name, path]) => ['--model', `${name}=${path}`])
  return { directory, paths, models, out: join(directory, 'out') }
}

const expression = '(math & science) & coding'
const recipeFile = (name: string) => new URL(`../../recipes/${name}.yaml`, import.meta.url).pathname

describe('branchmerge merge', () => {
  test('prints each merge with its share, overall and by kind', async () => {
    const { models, out } = setting()
    const { code, stdout, stderr } = await runCommand(['merge', recipeFile('tinyr1-32b'), ...models, '--out', out])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Merged 26 tensors, 7824 parameters, of 3 models')
    expect(stdout).toMatch(/^mid +science & math +\d+ +[\d.]+ %$/m)
    expect(stdout).toMatch(/^merged +coding & mid +\d+ +[\d.]+ %$/m)
    expect(stdout).toMatch(/^kind +tensors +parameters +mid +merged$/m)
    expect(stdout).toMatch(/^up_proj +2 +1536 +[\d.]+ % +[\d.]+ %$/m)
    expect(stdout).toContain('From coding: LICENSE, config.json')
    expect(stdout).toContain(`The merged checkpoint is in ${out}`)
  })

  test('--json prints exactly one object with exactly these keys', async () => {
    const { models, out } = setting()
    const { code, stdout } = await runCommand(['merge', expression, ...models, '--out', out, '--json'])
    expect(code).toBe(0)
    const summary = JSON.parse(stdout)
    expect(Object.keys(summary)).toEqual([
      'tensors',
      'parameters',
      'models',
      'merges',
      'bytesRead',
      'bytesWritten',
      'seconds',
      'device',
      'deviceReason',
      'warnings',
      'alreadyDone',
      'notes',
    ])
    for (const each of summary.merges) {
      expect(Object.keys(each)).toEqual(['id', 'method', 'kept', 'keptFraction', 'degenerate', 'identical'])
    }
  })

  test('--plan writes nothing, and its numbers are those of the run', async () => {
    const { models, out, directory } = setting()
    const args = ['merge', expression, ...models, '--out', out, '--json']
    const plan = JSON.parse((await runCommand([...args, '--plan'])).stdout)
    expect(fileNames(directory)).toEqual(['coding', 'math', 'science'])
    expect(plan).toMatchObject({
      models: [
        { name: 'math', files: 3, bytes: 15648 },
        { name: 'science', files: 1, bytes: 15648 },
        { name: 'coding', files: 2, bytes: 15648 },
      ],
      merges: [{ id: 'math & science' }, { id: '(math & science) & coding' }],
      tensors: 26,
      bytesToWrite: 15648,
    })
    const summary = JSON.parse((await runCommand(args)).stdout)
    expect(plan.bytesToRead).toBe(summary.bytesRead)
    const written = fileNames(out).reduce((total, name) => total + readFileSync(join(out, name)).length, 0)
    expect(plan.diskBytes).toBeGreaterThanOrEqual(written)
    const text = (await runCommand(['merge', expression, ...models, '--out', join(directory, 'x'), '--plan'])).stdout
    expect(text).toContain('Nothing was written (--plan).')
  })

  test('--stats has a line for each tensor, with what each merge did', async () => {
    const { models, out, directory } = setting()
    const stats = join(directory, 'stats.jsonl')
    const args = ['merge', expression, ...models, '--out', out, '--stats', stats, '--json']
    const { merges } = JSON.parse((await runCommand(args)).stdout)
    const lines = readFileSync(stats, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toHaveLength(26)
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(['name', 'shape', 'dtype', 'elements', 'merges'])
      expect(line.merges.map(({ id }: { id: string }) => id)).toEqual(merges.map(({ id }: { id: string }) => id))
      expect(line.merges[0]).toMatchObject({ method: 'fuse', inputs: [{ model: 'math' }, { model: 'science' }] })
    }
    const kept = lines.reduce((total, line) => total + line.merges[1].kept, 0)
    expect(kept).toBe(merges[1].kept)
  })

  test('--resume of what is complete says so, reads nothing and tells what it was', async () => {
    const { models, out, directory } = setting()
    const [stats, again] = [join(directory, 'stats.jsonl'), join(directory, 'again.jsonl')]
    const args = ['merge', expression, ...models, '--out', out]
    const first = JSON.parse((await runCommand([...args, '--json', '--stats', stats])).stdout)
    const stamps = stampFiles(out)
    const told = await runCommand([...args, '--resume', '--stats', again])
    expect([told.code, told.stdout, told.stderr]).toEqual([0, expect.stringContaining('is complete already'), ''])
    expect(readFileSync(again)).toEqual(readFileSync(stats))
    const { stdout } = await runCommand([...args, '--resume', '--json'])
    const nothing = {
      bytesRead: 0,
      bytesWritten: 0,
      alreadyDone: true,
      notes: [],
      deviceReason: 'it was merged before',
    }
    expect(JSON.parse(stdout)).toEqual({ ...first, ...nothing, seconds: expect.any(Number) })
    expect(stampFiles(out)).toEqual(stamps)

    const other = await runCommand([...args, '--resume', '--lambda', '2'])
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('[ERR_OUTPUT_EXISTS]')])
    const input = join(directory, 'science', 'model.safetensors')
    const taken = await runCommand([...args, '--resume', '--stats', input, '--overwrite'])
    expect(taken.stderr).toContain('[ERR_OUTPUT_IS_INPUT]')
    expect(stampFiles(out)).toEqual(stamps)
  })

  test("options of the fusion stand for the recipe's own; steps and rules win", async () => {
    const { models, directory } = setting()
    const file = join(directory, 'recipe.yaml')
    writeFileSync(file, `expression: fuse(math, science; lambda=3) & coding\noptions: { lambda: 1 }\n`)
    const args = ['merge', '--recipe', file, ...models, '--out', join(directory, 'out'), '--lambda', '2', '--json']
    expect((await runCommand([...args, '--preset', 'paper', '--threads', '3'])).code).toBe(0)
    const { merges } = JSON.parse(readFileSync(join(directory, 'out', 'branchmerge.json'), 'utf8'))
    expect(merges.map(({ parameters }: { parameters: object }) => parameters)).toMatchObject([
      { preset: 'paper', lambda: 3 },
      { preset: 'paper', lambda: 2 },
    ])
  })

  test.each([
    [[], 'Expected an expression or the file of a recipe'],
    [['a & b', '--recipe', 'r.yaml'], 'Expected either an expression or --recipe, not both'],
    [['./', '--out', 'x'], 'but ./ is a directory: name it with --model NAME=./'],
    [[new URL('../../LICENSE', import.meta.url).pathname, '--out', 'x'], 'for /'],
    [['a & b', '--model', 'a', '--out', 'x'], "Expected NAME=PATH for model but received 'a'"],
    [['a & b', '--model', 'a=1', '--model', 'a=2', '--out', 'x'], 'Expected the name a once, not twice, for model'],
    [['a & b', '--model', 'a=1', '--model', 'b=2'], "(or the recipe's output.path) for out"],
    [['a & b', '--modell', 'a=1'], 'did you mean --model?'],
  ])('a wrong command line exits with 2: %j', async (args, message) => {
    const { code, stdout, stderr } = await runCommand(['merge', ...args], { cwd: temporaryDirectory() })
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
  })

  test('a wrong expression is shown with its place, under its code', async () => {
    const { models, out } = setting()
    const { code, stderr } = await runCommand(['merge', '(math & scence) & coding', ...models, '--out', out])
    expect(code).toBe(1)
    expect(stderr).toContain('did you mean science?')
    expect(stderr).toContain('[ERR_RECIPE]')
  })
})

describe('branchmerge verify, reproduce, batch and convert', () => {
  test('verify exits with 0, and with 1 when a byte has changed', async () => {
    const { models, out } = setting()
    await runCommand(['merge', expression, ...models, '--out', out])
    expect(await runCommand(['verify', out])).toMatchObject({ code: 0, stderr: '' })
    const path = join(out, 'tokenizer.json')
    writeFileSync(path, `${readFileSync(path, 'utf8')} `)
    const { code, stdout } = await runCommand(['verify', out])
    expect(code).toBe(1)
    expect(stdout).toContain('tokenizer.json is not what was written')
    const json = await runCommand(['verify', out, '--json'])
    expect([json.code, JSON.parse(json.stdout)]).toEqual([
      1,
      {
        tensors: 26,
        files: 3,
        sideFiles: 7,
        bytes: expect.any(Number),
        problems: ['tokenizer.json is not what was written'],
      },
    ])
  })

  test('reproduce makes the same bytes, and exits with 1 for other inputs', async () => {
    const { models, out, directory, paths } = setting()
    await runCommand(['merge', expression, ...models, '--out', out])
    const again = join(directory, 'again')
    const running = ['--resume', '--memory', '1MB', '--device', 'cpu']
    const { code, stdout } = await runCommand(['reproduce', out, ...models, '--out', again, ...running])
    expect([code, stdout]).toEqual([
      0,
      `Made 26 tensors again in ${again}: the same bytes\nComputed on the CPU, as asked for\n`,
    ])
    expect(hashFiles(again)).toEqual(hashFiles(out))
    const done = await runCommand(['reproduce', out, ...models, '--out', again, '--resume'])
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('the same bytes. Nothing was done.') })
    const swapped = ['--model', `math=${paths.science}`, '--model', `science=${paths.math}`, ...models.slice(4)]
    const other = await runCommand(['reproduce', out, ...swapped, '--out', join(directory, 'x'), '--json'])
    expect(other.code).toBe(1)
    expect(JSON.parse(other.stdout).error.code).toBe('ERR_NOT_REPRODUCED')
  })

  test('batch prints a table, or one object', async () => {
    const { models, directory } = setting()
    const wrong = join(directory, 'wrong.yaml')
    writeFileSync(wrong, 'expression: math &\n')
    const files = [recipeFile('tinyr1-paper'), wrong]
    const out = join(directory, 'batch')
    const { code, stdout } = await runCommand(['batch', ...files, ...models, '--out', out])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^\S*tinyr1-paper\.yaml +done +1 +[\d.]+ s +[\d.]+ % +\S*tinyr1-paper$/m)
    expect(stdout).toMatch(/^\S*wrong\.yaml +failed +- +- +- +ERR_RECIPE$/m)
    const json = await runCommand(['batch', files[0] as string, ...models, '--out', out, '--json'])
    expect([json.code, json.stderr]).toEqual([0, ''])
    expect(JSON.parse(json.stdout)).toMatchObject({ failed: 0, recipes: [{ file: files[0], status: 'skipped' }] })
    const option = await runCommand(['batch', ...files, ...models, '--out', out, '--threads', '0'])
    expect(option).toMatchObject({ code: 2, stdout: '' })
    expect(option.stderr.match(/Expected an integer from 1 to 1024 for threads/g)).toHaveLength(1)
  })

  test('convert takes what is not here for a name on the Hub, and writes paths that are as its file needs them', async () => {
    const { directory, paths } = setting()
    mkdirSync(join(directory, 'experts'))
    mkdirSync(join(directory, 'recipes'))
    cpSync(paths.math as string, join(directory, 'experts', 'math'), { recursive: true })
    cpSync(paths.science as string, join(directory, 'experts', 'science'), { recursive: true })
    const file = join(directory, 'mergekit.yml')
    const writeConfig = (right: string) =>
      writeFileSync(
        file,
        `merge_method: linear\nmodels:\n  - {model: experts/math, parameters: {weight: 1}}\n  - {model: ${right}, parameters: {weight: 1}}\n`,
      )
    writeConfig('experts/coding')
    const missing = await runCommand(['convert', file], { cwd: directory })
    expect(missing.stdout.match(/^# .* is not here .*/gm)).toEqual([
      '# experts/coding is not here and taken for a name on the Hub (a directory: --model coding=DIR)',
    ])
    writeConfig('experts/science')
    const recipe = join('recipes', 'recipe.yaml')
    const converted = await runCommand(['convert', file, '--out', recipe], { cwd: directory })
    expect([converted.code, converted.stdout]).toEqual([0, expect.not.stringContaining('download')])
    expect(readFileSync(join(directory, recipe), 'utf8')).toContain('../experts/math')
    const { code } = await runCommand(['merge', join(directory, recipe), '--out', join(directory, 'linear')])
    expect(code).toBe(0)
  })

  test("merge takes mergekit's YAML itself, and prints what it was understood as", async () => {
    const { directory, paths } = setting()
    const file = join(directory, 'mergekit.yml')
    writeFileSync(
      file,
      `merge_method: linear\nmodels: [{model: ${paths.math}}, {model: ${paths.science}}]\nparameters: {weight: "0.5", t: 1}\n`,
    )
    const [out, json] = [join(directory, 'out'), join(directory, 'json')]
    const merged = await runCommand(['merge', file, '--out', out])
    expect([merged.code, merged.stderr]).toEqual([
      0,
      expect.stringMatching(/mergekit\.yml is a configuration of mergekit, understood as this recipe:\n\nmodels:\n/),
    ])
    const notes = ['t is left out: mergekit ignores it for linear', 'weight: the text "0.5" is read as 0.5']
    for (const note of notes) expect(merged.stdout).toContain(`\n${note}\n`)
    const again = await runCommand(['merge', '--recipe', file, '--out', json, '--json'])
    for (const note of notes) expect(again.stderr).toContain(`\n# ${note}\n`)
    expect(JSON.parse(again.stdout)).toMatchObject({ models: ['math', 'science'], merges: [{ id: 'merged' }] })
    expect(hashFiles(json)).toEqual(hashFiles(out))
    const planned = await runCommand(['merge', file, '--out', join(directory, 'x'), '--plan', '--json'])
    expect(JSON.parse(planned.stdout).notes).toEqual(expect.arrayContaining(notes))
    const batched = await runCommand(['batch', file, '--out', join(directory, 'many'), '--json'])
    expect(JSON.parse(batched.stdout)).toMatchObject({ failed: 0 })
    expect(hashFiles(join(directory, 'many', 'mergekit'))).toEqual(hashFiles(out))
  })

  test("convert turns mergekit's YAML into a recipe that runs", async () => {
    const { directory, paths, models } = setting()
    const file = join(directory, 'mergekit.yml')
    writeFileSync(
      file,
      `merge_method: arcee_fusion\nbase_model: ${paths.math}\nmodels:\n  - model: ${paths.science}\n  - model: ${paths.math}\n`,
    )
    const printed = await runCommand(['convert', file])
    expect([printed.code, printed.stderr]).toEqual([0, ''])
    expect(printed.stdout).toContain('# arcee_fusion: ')
    const recipe = join(directory, 'recipe.yaml')
    expect((await runCommand(['convert', file, '--out', recipe])).code).toBe(0)
    expect(readFileSync(recipe, 'utf8')).toBe(printed.stdout)
    expect((await runCommand(['convert', file, '--out', recipe, '--json'])).stdout).toContain('ERR_OUTPUT_EXISTS')
    const neither = await runCommand(['convert', join(paths.math as string, 'config.json')])
    expect([neither.code, neither.stderr]).toEqual([
      1,
      expect.stringContaining('Expected a merge of mergekit, with merge_method'),
    ])
    const json = JSON.parse((await runCommand(['convert', file, '--json'])).stdout)
    expect(Object.keys(json)).toEqual(['recipe', 'notes'])
    const out = join(directory, 'out')
    expect((await runCommand(['merge', recipe, '--out', out])).code).toBe(0)
    const expected = join(directory, 'expected')
    const plain = ['merge', 'math & science', ...models.slice(0, 4), '--out', expected]
    expect((await runCommand(plain)).code).toBe(0)
    const weights = (path: string) => Object.entries(hashFiles(path)).filter(([name]) => name.endsWith('.safetensors'))
    expect(weights(out)).toEqual(weights(expected))
  })
})
