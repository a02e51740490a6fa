import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fuse } from '../../lib/index.js'
import { fileNames, hashFiles, stampFiles } from '../support/directoryContents.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { fineTune, type Tensors, writeCheckpoint, writePair } from '../support/writeCheckpoint.js'

function pair(options: Parameters<typeof writePair>[1] = {}) {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory, options)
  return { directory, left: left.path, right: right.path, out: join(directory, 'out'), tensors: left.tensors }
}

const parameters = (tensors: Tensors) => [...tensors.values()].reduce((total, { data }) => total + data.length / 2, 0)

describe('a fusion', () => {
  test('prints a summary for people, and nothing on stderr when it is quick', async () => {
    const { left, right, out, tensors } = pair()
    writeFileSync(join(right, 'generation_config.json'), '{}')
    const { code, stdout, stderr } = await runCommand(['fuse', left, right, '--out', out])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain(`Fused ${tensors.size} tensors, 7824 parameters, preset arcee`)
    for (const kind of [
      'embedding',
      'q_proj',
      'k_proj',
      'v_proj',
      'o_proj',
      'gate_proj',
      'up_proj',
      'down_proj',
      'norm',
    ]) {
      expect(stdout).toMatch(new RegExp(`^${kind} +\\d+ +\\S+( k)? +\\d+ +[\\d.]+ %$`, 'm'))
    }
    expect(stdout).toMatch(/^all +26 +7824 +\d+ +[\d.]+ %$/m)
    expect(stdout).toContain('Identical on both sides: 1 tensor (16 parameters')
    expect(stdout).toContain('Not the same in Right: generation_config.json (differs)')
    expect(stdout).toMatch(/^Read 31\.3 kB .* in [\d.]+ s, .*B\/s$/m)
    expect(stdout).toContain(`The fused checkpoint is in ${out}`)
  })

  test('--json prints exactly one object with exactly these keys', async () => {
    const { left, right, out, tensors } = pair()
    const { code, stdout } = await runCommand(['fuse', left, right, '--out', out, '--json', '--preset', 'paper'])
    expect(code).toBe(0)
    const summary = JSON.parse(stdout)
    expect(Object.keys(summary)).toEqual([
      'tensors',
      'parameters',
      'kept',
      'keptFraction',
      'degenerate',
      'identical',
      'bytesRead',
      'bytesWritten',
      'seconds',
      'alreadyDone',
      'notes',
      'preset',
      'device',
      'deviceReason',
      'warnings',
    ])
    expect(summary).toMatchObject({
      tensors: tensors.size,
      parameters: parameters(tensors),
      preset: 'paper',
      device: 'cpu',
    })
    expect(summary.keptFraction).toBeCloseTo(summary.kept / summary.parameters, 12)
  })

  test('--resume of what is complete says so and does nothing', async () => {
    const { left, right, out, directory } = pair()
    const [stats, again] = [join(directory, 'stats.jsonl'), join(directory, 'again.jsonl')]
    const args = ['fuse', left, right, '--out', out, '--lambda', '2']
    const first = JSON.parse((await runCommand([...args, '--stats', stats, '--json'])).stdout)
    const told = await runCommand([...args, '--resume', '--stats', again])
    expect([told.code, told.stdout]).toEqual([0, expect.stringContaining('is complete already')])
    expect(readFileSync(again)).toEqual(readFileSync(stats))
    const nothing = {
      bytesRead: 0,
      bytesWritten: 0,
      alreadyDone: true,
      notes: [],
      deviceReason: 'it was merged before',
    }
    expect(await fuse(left, right, { out, lambda: 2, resume: true })).toEqual({
      ...first,
      ...nothing,
      seconds: expect.any(Number),
    })
    await expect(fuse(left, right, { out, lambda: 3, resume: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
    })
  })

  test('--stats writes one line a tensor in output order, with exactly these keys', async () => {
    const { left, right, out, directory } = pair({ leftShards: 2 })
    const stats = join(directory, 'stats.jsonl')
    const { code, stdout } = await runCommand(['fuse', left, right, '--out', out, '--stats', stats, '--json'])
    expect(code).toBe(0)
    const lines = readFileSync(stats, 'utf8')
    expect(lines.endsWith('\n')).toBe(true)
    const records = lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const record of records) {
      const keys = ['name', 'shape', 'dtype', 'elements', 'kept', 'threshold', 'q1', 'median', 'q3', 'kl']
      expect(Object.keys(record)).toEqual(keys)
      expect(Object.keys(record.kl)).toEqual(['min', 'median', 'max'])
      expect(record.q1 <= record.median && record.median <= record.q3).toBe(true)
    }
    const index = JSON.parse(readFileSync(join(out, 'model.safetensors.index.json'), 'utf8'))
    const byFile = Object.entries<string>(index.weight_map).sort(([a, f], [b, g]) => (f + a < g + b ? -1 : 1))
    expect(records.map(({ name }) => name)).toEqual(byFile.map(([name]) => name))
    expect(records.reduce((total, { kept }) => total + kept, 0)).toBe(JSON.parse(stdout).kept)
    expect(fileNames(directory)).toEqual(['left', 'out', 'right', 'stats.jsonl'])
  })

  test('--stats inside the new directory works, and with an existing file needs --overwrite', async () => {
    const { left, right, out } = pair()
    const args = ['fuse', left, right, '--out', out, '--stats', join(out, 'stats.jsonl')]
    expect(await runCommand(args)).toMatchObject({ code: 0 })
    expect(fileNames(out)).toContain('stats.jsonl')
    expect(await runCommand([...args, '--json'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('ERR_OUTPUT_EXISTS'),
    })
    expect(await runCommand([...args, '--overwrite'])).toMatchObject({ code: 0 })
  })

  test('--stats in an input or in a directory that is not there is refused before the work', async () => {
    const { left, right, out, directory } = pair()
    const run = async (stats: string) => {
      const { stdout } = await runCommand([
        'fuse',
        left,
        right,
        '--out',
        out,
        '--overwrite',
        '--json',
        '--stats',
        stats,
      ])
      return JSON.parse(stdout).error?.code
    }
    const stamps = [stampFiles(left), stampFiles(right)]
    expect(await run(join(left, 'model.safetensors'))).toBe('ERR_OUTPUT_IS_INPUT')
    expect(await run(join(right, 'stats.jsonl'))).toBe('ERR_OUTPUT_IS_INPUT')
    expect(await run(join(directory, 'no', 'stats.jsonl'))).toBe('ERR_OUTPUT_WRITE')
    expect([stampFiles(left), stampFiles(right)]).toEqual(stamps)
    expect(existsSync(out)).toBe(false)
  })

  test('all method options are understood', async () => {
    const { left, right, out, directory } = pair()
    const method = [
      '--scope',
      'row',
      '--divergence',
      'right||left',
      '--score',
      'abs',
      '--gate',
      'ge',
      '--lambda',
      '1.5',
    ]
    const rest = [
      '--epsilon',
      '1e-8',
      '--quantile',
      'lower',
      '--population',
      'all',
      '--non-finite',
      'error',
      '--threads',
      '3',
    ]
    const spelledOut = ['fuse', left, right, '--out', out, '--preset', 'paper-soft', ...method, ...rest, '--json']
    expect(await runCommand(spelledOut)).toMatchObject({ code: 0 })
    const plain = join(directory, 'plain')
    expect(await runCommand(['fuse', left, right, '--out', plain])).toMatchObject({ code: 0 })
    const [a, b] = [hashFiles(out), hashFiles(plain)]
    expect(Object.keys(a)).toEqual(Object.keys(b))
    // The file's metadata names the options; the tensors are the same.
    const data = (path: string) => readFileSync(join(path, 'model.safetensors')).subarray(-2 * 7824)
    expect(data(out).equals(data(plain))).toBe(true)
  })

  test('degenerate tensors are named', async () => {
    const { left, right, out, tensors } = pair()
    // One element of a matrix changes: more than three quarters stay, so all quartiles are zero.
    const name = 'model.layers.0.self_attn.q_proj.weight'
    const sparse: Tensors = new Map(fineTune(tensors, { seed: 4 }))
    const data = Uint8Array.from(tensors.get(name)?.data as Uint8Array)
    data[0] = (data[0] as number) ^ 1
    sparse.set(name, { dtype: 'BF16', shape: [16, 16], data })
    writeCheckpoint(right, { tensors: sparse })
    const { stdout } = await runCommand(['fuse', left, right, '--out', out])
    expect(stdout).toMatch(new RegExp(`^Degenerate .*1 tensor: ${name}$`, 'm'))
    rmSync(out, { recursive: true })
    const json = await runCommand(['fuse', left, right, '--out', out, '--json'])
    expect(JSON.parse(json.stdout).degenerate).toEqual([name])
  })
})

describe('--plan', () => {
  test('shows what would be done, from headers alone, and writes nothing', async () => {
    const { left, right, out, directory } = pair({ leftShards: 2 })
    const before = [stampFiles(left), stampFiles(right)]
    const { code, stdout, stderr } = await runCommand(['fuse', left, right, '--out', out, '--plan'])
    expect([code, stderr]).toEqual([0, ''])
    for (const text of ['26, 7824 parameters', '31.3 kB', '15.6 kB to ', 'model-00001-of-00002.safetensors', 'free']) {
      expect(stdout).toContain(text)
    }
    expect(fileNames(directory)).toEqual(['left', 'right'])
    expect([stampFiles(left), stampFiles(right)]).toEqual(before)
  })

  test('--json: the numbers agree with what a run then does', async () => {
    const { left, right, out } = pair({ rightShards: 3 })
    const args = ['fuse', left, right, '--out', out, '--dtype', 'F32', '--max-shard-size', '20KB', '--json']
    const plan = JSON.parse((await runCommand([...args, '--plan'])).stdout)
    expect(Object.keys(plan)).toEqual([
      'tensors',
      'parameters',
      'bytesToRead',
      'bytesToWrite',
      'memoryBytes',
      'diskBytes',
      'freeBytes',
      'files',
      'sideFiles',
      'differences',
      'notes',
    ])
    const summary = JSON.parse((await runCommand(args)).stdout)
    expect(plan).toMatchObject({
      tensors: summary.tensors,
      parameters: summary.parameters,
      bytesToRead: summary.bytesRead,
    })
    expect(plan.bytesToWrite).toBe(summary.parameters * 4)
    const shards = fileNames(out).filter((name) => /^model-.*\.safetensors$/.test(name))
    expect(plan.files.map(({ name }: { name: string }) => name)).toEqual(shards)
    const written = fileNames(out).reduce((total, name) => total + readFileSync(join(out, name)).length, 0)
    expect(plan.diskBytes).toBeGreaterThanOrEqual(written)
  })

  test('is refused where the run would be', async () => {
    const { left, right } = pair()
    const run = async (out: string) =>
      JSON.parse((await runCommand(['fuse', left, right, '--out', out, '--plan', '--json'])).stdout)
    expect(await run(left)).toMatchObject({ error: { code: 'ERR_OUTPUT_IS_INPUT' } })
    const full = temporaryDirectory()
    writeFileSync(join(full, 'x'), '')
    expect(await run(full)).toMatchObject({ error: { code: 'ERR_OUTPUT_EXISTS' } })
  })
})

describe('failures', () => {
  test('are one line for people, exit code 1, nothing on stdout', async () => {
    const { right, out } = pair()
    const { code, stdout, stderr } = await runCommand(['fuse', '/no/such', right, '--out', out])
    expect([code, stdout, stderr]).toEqual([
      1,
      '',
      'branchmerge: There is no checkpoint at /no/such. [ERR_CHECKPOINT_NOT_FOUND]\n',
    ])
  })

  test('under --json are one object on stdout', async () => {
    const { right, out } = pair()
    const { code, stdout, stderr } = await runCommand(['fuse', '/no/such', right, '--out', out, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'ERR_CHECKPOINT_NOT_FOUND', message: 'There is no checkpoint at /no/such.' },
    })
    expect(stderr).toContain('There is no checkpoint')
  })

  const usage: [string[], string][] = [
    [[], 'Name a command: '],
    [['fuze', 'a', 'b'], 'Unknown command fuze: did you mean fuse?'],
    [['fuse', 'a', '--out', 'x'], 'See branchmerge fuse --help.'],
    [['fuse', 'a', 'b', '--out', 'x', '--threads', '0'], 'for threads but received 0 of type number'],
    [['fuse', 'a', 'b', '--out', 'x', '--lambda', '-1'], 'for lambda but received -1 of type number'],
    [['fuse', 'a', 'b', '--out', 'x', '--dtype', 'int8'], "for dtype but received 'int8' of type string"],
    [['fuse', 'a', 'b', '--out', 'x', '--out', 'y'], "for out but received [ 'x', 'y' ] of type array"],
    [['fuse', 'a', 'b', '--out', ''], 'Expected a value for --out but received ""'],
  ]
  test.each(usage)('a wrong command line exits with 2: %j', async (args, message) => {
    const { code, stdout, stderr } = await runCommand(args)
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringContaining(message)])
    expect(stderr).not.toMatch(/^ +at /m)
  })

  test('a wrong command line under --json is an object, too', async () => {
    const { code, stdout } = await runCommand(['fuse', 'a', '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_INVALID_ARGUMENT' } })
  })
})

describe('help', () => {
  test('--version loads next to nothing', async () => {
    const directory = temporaryDirectory()
    await runCommand(['--version'], { env: { NODE_V8_COVERAGE: directory } })
    const [file] = readdirSync(directory)
    const { result } = JSON.parse(readFileSync(join(directory, file as string), 'utf8'))
    const loaded = result.map(({ url }: { url: string }) => url).filter((url: string) => url.startsWith('file:'))
    expect(loaded.filter((url: string) => url.includes('node_modules'))).toEqual([])
    expect(loaded.length).toBeLessThan(10)
  })

  test('--help and --version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await runCommand(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' })
    const help = await runCommand(['--help'])
    for (const command of ['fuse <left> <right>', 'merge [source]', 'inspect <path>', 'doctor'])
      expect(help.stdout).toContain(command)
    const fuse = await runCommand(['fuse', '--help'])
    expect(fuse).toMatchObject({ code: 0, stderr: '' })
    expect(fuse.stdout).toContain('branchmerge fuse math/ code/ --out merged/')
    expect(fuse.stdout).toContain('--max-shard-size')
  })

  test('a reader that stops early is no error', async () => {
    const { left } = pair()
    const result = await runCommand(['inspect', left], { shell: '"$@" | true' })
    expect(result).toMatchObject({ code: 0, stderr: '' })
  })
})
