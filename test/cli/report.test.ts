import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fileNames } from '../support/directoryContents.js'
import { elementsOf, parseXml, textOf } from '../support/parseXml.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, writeCheckpoint } from '../support/writeCheckpoint.js'

const frozen = 'model.norm.weight'
const hardlyTrained = 'model.layers.1.mlp.up_proj.weight'

/** A fusion of which one tensor is identical and one, changed in few places, degenerate. */
async function fused() {
  const directory = temporaryDirectory()
  const base = drawModel()
  const left = fineTune(base, { seed: 2, frozen: [frozen, hardlyTrained] })
  const right = fineTune(base, { seed: 3, frozen: [frozen, hardlyTrained] })
  const tensor = right.get(hardlyTrained) as NonNullable<ReturnType<typeof right.get>>
  const data = Uint8Array.from(tensor.data)
  data[0] = (data[0] as number) ^ 1
  right.set(hardlyTrained, { ...tensor, data })
  const paths = [
    writeCheckpoint(join(directory, 'left'), { tensors: left }),
    writeCheckpoint(join(directory, 'right'), { tensors: right }),
  ]
  const [out, stats] = [join(directory, 'out'), join(directory, 'stats.jsonl')]
  const { code, stdout } = await runCommand(['fuse', ...paths, '--out', out, '--stats', stats, '--json'])
  expect(code).toBe(0)
  return { directory, out, stats, summary: JSON.parse(stdout) }
}

describe('report --stats', () => {
  test('prints the map in the terminal by default', async () => {
    const { stats } = await fused()
    const { code, stdout, stderr } = await runCommand(['report', '--stats', stats])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(
      /^left & right: [\d.]+ % from Right, 7808 weights in 25 tensors that differ, 1 degenerate, 1 id/,
    )
    expect(stdout).toMatch(/^up_proj {9}[▁▂▃▄▅▆▇█]× +[\d.]+ %$/m)
    expect(stdout).toMatch(/^outside of layers: embedding [▁▂▃▄▅▆▇█] [\d.]+ %, norm = identical$/m)
  })

  test('--json prints one object whose numbers are those of the fusion', async () => {
    const { stats, summary } = await fused()
    const { code, stdout } = await runCommand(['report', '--stats', stats, '--json'])
    expect(code).toBe(0)
    const record = JSON.parse(stdout)
    expect(record.notDrawn).toEqual([])
    const [{ name, total, stacks, outside }] = record.steps
    expect([name, total.tensors, total.identical, total.degenerate]).toEqual(['left & right', summary.tensors, 1, 1])
    expect(total.elements).toBe(summary.parameters - 16)
    // The gate 'ge' counts the identical norm as Right's.
    expect(total.kept).toBe(summary.kept - 16)
    expect(total.fraction).toBe(total.kept / total.elements)
    expect(stacks.map(({ stack, layers }: { stack: string; layers: number[] }) => [stack, layers])).toEqual([
      ['model.layers', [0, 1]],
    ])
    const upProjection = stacks[0].rows.find(({ kind }: { kind: string }) => kind === 'up_proj')
    expect(upProjection.cells[1]).toMatchObject({ tensors: 1, elements: 768, kept: 768, fraction: 1, degenerate: 1 })
    expect(outside.at(-1)).toEqual({
      kind: 'norm',
      tensors: 1,
      elements: 0,
      kept: 0,
      fraction: null,
      degenerate: 0,
      identical: 1,
    })
  })

  test('--out writes a picture or a page, the same bytes each time, and leaves nothing else', async () => {
    const { directory, stats } = await fused()
    const before = fileNames(directory)
    const svg = join(directory, 'map.svg')
    const html = join(directory, 'map.html')
    expect(await runCommand(['report', '--stats', stats, '--out', svg])).toMatchObject({
      code: 0,
      stdout: `The heat map is in ${svg}\n`,
    })
    const picture = readFileSync(svg, 'utf8')
    expect(elementsOf(parseXml(picture), 'title').map(textOf).join('\n')).toContain(hardlyTrained)
    expect((await runCommand(['report', '--stats', stats, '--out', html])).code).toBe(0)
    expect(readFileSync(html, 'utf8')).toContain(picture.trimEnd())
    expect((await runCommand(['report', '--stats', stats, '--out', svg, '--overwrite'])).code).toBe(0)
    expect(readFileSync(svg, 'utf8')).toBe(picture)
    expect(fileNames(directory)).toEqual([...before, 'map.html', 'map.svg'].sort())
  })
})

test('the picture of the guide is what its commands make', async () => {
  const directory = temporaryDirectory()
  const [stats, out] = [join(directory, 'stats.jsonl'), join(directory, 'heat-map.svg')]
  execFileSync(process.execPath, [fileURLToPath(new URL('../../examples/deepPair.js', import.meta.url)), directory])
  const sides = [join(directory, 'left'), join(directory, 'right')]
  expect((await runCommand(['fuse', ...sides, '--out', join(directory, 'merged'), '--stats', stats])).code).toBe(0)
  expect((await runCommand(['report', '--stats', stats, '--out', out])).code).toBe(0)
  expect(readFileSync(out, 'utf8')).toBe(
    readFileSync(new URL('../../docs/images/heat-map.svg', import.meta.url), 'utf8'),
  )
})

describe('what is refused', () => {
  test.each([
    [[], 'Expected a merged directory or --stats FILE, one of them'],
    [['DIR', '--stats', 'x'], 'Expected a merged directory or --stats FILE, one of them'],
    [['--stats', 'x', '--out', 'map.png'], 'Expected a name that ends in .svg or .html for out'],
    [['DIR', '--outt', 'x'], 'Unknown argument: outt'],
  ])('%j', async (args, message) => {
    const { code, stderr } = await runCommand(['report', ...args], { cwd: temporaryDirectory() })
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  test('a file that is there, without --overwrite, and a directory in any case', async () => {
    const { directory, stats } = await fused()
    const out = join(directory, 'map.svg')
    writeFileSync(out, 'mine')
    const { code, stderr } = await runCommand(['report', '--stats', stats, '--out', out])
    expect([code, readFileSync(out, 'utf8')]).toEqual([1, 'mine'])
    expect(stderr).toContain('[ERR_OUTPUT_EXISTS]')
    rmSync(out)
    mkdirSync(out)
    const second = await runCommand(['report', '--stats', stats, '--out', out, '--overwrite'])
    expect(second.code).toBe(1)
    expect(second.stderr).toContain('[ERR_OUTPUT_EXISTS]')
  })

  test.each([
    ['no line', '', 'it is empty'],
    ['other text', 'tensor 0.5\n', ':1 but received tensor 0.5'],
    ['a line cut off', `${line()}\n${line().slice(0, 50)}`, ':2 but received'],
    ['more taken than there is', `${line({ kept: 11 })}\n`, ':1'],
    ['no divergence', `${line({ kl: null })}\n`, ':1'],
    ['a shape of other things', `${line({ shape: ['2'] })}\n`, ':1'],
  ])('statistics with %s', async (_, text, message) => {
    const directory = temporaryDirectory()
    const [stats, out] = [join(directory, 'stats.jsonl'), join(directory, 'map.svg')]
    writeFileSync(stats, text)
    const { code, stderr, stdout } = await runCommand(['report', '--stats', stats, '--out', out, '--json'])
    expect(code).toBe(1)
    expect(stderr).toContain(message)
    expect(JSON.parse(stdout).error.code).toBe('ERR_STATS')
    expect(existsSync(out)).toBe(false)
  })

  test('files that are not there', async () => {
    const directory = temporaryDirectory()
    for (const args of [['--stats', join(directory, 'x')], [directory]]) {
      const { code, stderr } = await runCommand(['report', ...args])
      expect(code).toBe(1)
      expect(stderr).toContain('[ERR_FILE_READ]')
    }
  })
})

function line(fields: Record<string, unknown> = {}): string {
  const kl = { min: 0, median: 1, max: 2 }
  return JSON.stringify({ name: 'w', shape: [2, 5], dtype: 'F32', elements: 10, kept: 3, threshold: 1, kl, ...fields })
}
